"""A writer whose every write is noted when it was acknowledged."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.plan import SEED
from benchmarks.soak_ledger import REVISION, Ledger
from embedloop.client import AsyncClient
from embedloop.demo.ontology import Term
from embedloop.errors import EmbedloopError

# Of the writes 35 % are new documents and 30 % deletes: the corpus hardly grows, so that memory need not.
NEW, CHANGE = 0.35, 0.7
QUERY_CHARS = 1000


@dataclass
class Writer:
    """One at a time writes, changes and deletes documents of its own.

    Attributes:
        client: Without retries, so that each failure is seen.
        corpus: Where it writes.
        spare: Terms that are no documents yet; writes take them one by one.
        failed: Told of each write that failed.
        ledger: What it wrote.
        done: `puts` and `deletes` that were acknowledged.
        terms: The documents that it wrote or deleted, by id.
    """

    client: AsyncClient
    corpus: str
    spare: Sequence[Term]
    failed: Callable[[str, EmbedloopError], None]
    ledger: Ledger = field(default_factory=Ledger)
    done: Counter[str] = field(default_factory=Counter)
    terms: dict[str, Term] = field(default_factory=dict)
    _rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _next: int = 0
    _revision: int = 0

    async def write(self) -> None:
        """One write."""
        # One at a time: two writes of one document under way would leave open which came last.
        async with self._writing:
            live = list(self.ledger.live())
            dice = self._rng.random()
            fresh = self._next < len(self.spare) and (dice < NEW or not live)
            if fresh:
                term = self.spare[self._next]
                self._next += 1
                self.terms[term.term_id] = term
                await self._put(term)
            elif live and dice < CHANGE:
                await self._put(self.terms[self._rng.choice(live)])
            elif live:
                await self._delete(self._rng.choice(live))

    async def _put(self, term: Term) -> None:
        self._revision += 1
        revision = self._revision
        text = f"{term.definition} (revision {revision})"
        try:
            await self.client.put_document(
                self.corpus, term.term_id, title=term.name, text=text, metadata={REVISION: revision}
            )
        except EmbedloopError as error:
            self.failed("put", error)
            self.ledger.doubt(term.term_id)
            return
        self.ledger.acknowledge(term.term_id, revision, time.perf_counter())
        self.done["puts"] += 1

    async def _delete(self, document_id: str) -> None:
        try:
            await self.client.delete_document(self.corpus, document_id)
        except EmbedloopError as error:
            self.failed("delete", error)
            self.ledger.doubt(document_id)
            return
        self.ledger.acknowledge(document_id, 0, time.perf_counter())
        self.done["deletes"] += 1


def query_of(term: Term) -> str:
    """A term's own words as a query."""
    return f"{term.name}\n{term.definition}"[:QUERY_CHARS]


async def at_times(
    group: asyncio.TaskGroup,
    start: float,
    schedule: Sequence[float],
    act: Callable[[float], Awaitable[None]],
) -> None:
    """Starts `act` at each time of the schedule, seconds after `start`, whatever became of the earlier ones."""

    async def one(intended: float) -> None:
        await act(intended)

    for at in schedule:
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        group.create_task(one(start + at))
