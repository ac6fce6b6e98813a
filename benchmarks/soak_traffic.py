"""What people do to the service while it is watched: they search, write and give feedback."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.bench_corpus import CORPUS
from benchmarks.figures import poisson_schedule
from benchmarks.plan import SEED, TOP_K
from benchmarks.soak_ledger import REVISION, Ledger
from embedloop.client import AsyncClient
from embedloop.demo.ontology import Case, Term
from embedloop.errors import EmbedloopError
from embedloop.records import Signal

# Every fourth search asks for a document that was written or deleted meanwhile.
PROBES = 0.25
# Of the writes 35 % are new documents and 30 % deletes: the corpus hardly grows, so that memory need not.
NEW, CHANGE = 0.35, 0.7
QUERY_CHARS = 1000


@dataclass
class Window:
    """What happened since the last look."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass
class Traffic:
    """The state of the people.

    Attributes:
        client: Without retries, so that each failure is seen.
        cases: What they search for among the documents that stay.
        spare: Terms that are no documents yet; writes take them one by one.
        ledger: What they wrote.
    """

    client: AsyncClient
    cases: Sequence[Case]
    spare: Sequence[Term]
    ledger: Ledger = field(default_factory=Ledger)
    window: Window = field(default_factory=Window)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    _terms: dict[str, Term] = field(default_factory=dict)
    _shown: deque[tuple[str, Case, bool]] = field(default_factory=lambda: deque(maxlen=100))
    _rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _next: int = 0
    _revision: int = 0

    async def go_on(self, seconds: float, searches: float, writes: float, feedback: float) -> None:
        """Everything at its rate a second, at Poisson times, whatever the service does."""
        start = time.perf_counter()
        acts = ((searches, self._search), (writes, self._write), (feedback, self._feed_back))
        async with asyncio.TaskGroup() as group:
            for number, (rate, act) in enumerate(acts):
                schedule = poisson_schedule(rate, seconds, SEED + number)
                group.create_task(_at_times(group, start, schedule, act))

    def take_window(self) -> Window:
        """What happened since the last call."""
        taken, self.window = self.window, Window()
        return taken

    def text_of(self, document_id: str) -> str:
        """The query that a written document answers best: its own content."""
        return query_of(self._terms[document_id])

    async def _search(self, intended: float) -> None:
        written = list(self._terms)
        probe = bool(written) and self._rng.random() < PROBES
        case = self._rng.choice(self.cases)
        query = self.text_of(self._rng.choice(written)) if probe else case.query
        sent = time.perf_counter()
        try:
            answer = await self.client.search(CORPUS, query, top_k=TOP_K)
        except EmbedloopError as error:
            self._fail("search", error)
            return
        self.window.latencies_ms.append(1000 * (time.perf_counter() - intended))
        self.done["searches"] += 1
        hits = [(hit.document_id, hit.metadata) for hit in answer.results]
        self.wrong.update(f"{kind} shown" for kind, _ in self.ledger.wrong(hits, sent))
        if not probe:
            right = any(document_id == case.term_id for document_id, _ in hits)
            self._shown.append((answer.retrieval_id, case, right))

    async def _write(self, _: float) -> None:
        # One at a time: two writes of one document under way would leave open which came last.
        async with self._writing:
            live = list(self.ledger.live())
            dice = self._rng.random()
            fresh = self._next < len(self.spare) and (dice < NEW or not live)
            if fresh:
                term = self.spare[self._next]
                self._next += 1
                self._terms[term.term_id] = term
                await self._put(term)
            elif live and dice < CHANGE:
                await self._put(self._terms[self._rng.choice(live)])
            elif live:
                await self._delete(self._rng.choice(live))

    async def _put(self, term: Term) -> None:
        self._revision += 1
        revision = self._revision
        text = f"{term.definition} (revision {revision})"
        try:
            await self.client.put_document(
                CORPUS, term.term_id, title=term.name, text=text, metadata={REVISION: revision}
            )
        except EmbedloopError as error:
            self._fail("put", error)
            self.ledger.doubt(term.term_id)
            return
        self.ledger.acknowledge(term.term_id, revision, time.perf_counter())
        self.done["puts"] += 1

    async def _delete(self, document_id: str) -> None:
        try:
            await self.client.delete_document(CORPUS, document_id)
        except EmbedloopError as error:
            self._fail("delete", error)
            self.ledger.doubt(document_id)
            return
        self.ledger.acknowledge(document_id, 0, time.perf_counter())
        self.done["deletes"] += 1

    async def _feed_back(self, _: float) -> None:
        if not self._shown:
            return
        retrieval, case, right = self._shown.popleft()
        signal = Signal.UP if right else Signal.CORRECT
        try:
            await self.client.feedback(retrieval, signal.value, document_id=case.term_id)
        except EmbedloopError as error:
            self._fail("feedback", error)
            return
        self.done["feedback"] += 1

    def _fail(self, what: str, error: EmbedloopError) -> None:
        kind = f"{what}: {error.code}"
        self.window.errors[kind] += 1
        self.errors[kind] += 1


def query_of(term: Term) -> str:
    """A term's own words as a query."""
    return f"{term.name}\n{term.definition}"[:QUERY_CHARS]


async def _at_times(
    group: asyncio.TaskGroup,
    start: float,
    schedule: Sequence[float],
    act: Callable[[float], Awaitable[None]],
) -> None:
    async def one(intended: float) -> None:
        await act(intended)

    for at in schedule:
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        group.create_task(one(start + at))
