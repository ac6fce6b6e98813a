"""What people do to the service while it is watched: they search, write and give feedback."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.bench_corpus import CORPUS
from benchmarks.figures import poisson_schedule
from benchmarks.plan import SEED, TOP_K
from benchmarks.soak_ledger import Ledger
from benchmarks.writing import Writer, at_times, query_of
from embedloop.client import AsyncClient
from embedloop.demo.ontology import Case, Term
from embedloop.errors import EmbedloopError
from embedloop.records.feedback import Signal

# Every fourth search asks for a document that was written or deleted meanwhile.
PROBES = 0.25


@dataclass
class Window:
    """What happened since the last look."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


class Traffic:
    """The state of the people."""

    def __init__(self, client: AsyncClient, cases: Sequence[Case], spare: Sequence[Term]):
        """Nobody does anything yet.

        Args:
            client: Without retries, so that each failure is seen.
            cases: What they search for among the documents that stay.
            spare: Terms that are no documents yet; writes take them one by one.
        """
        self.errors: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self._client = client
        self._cases = cases
        self._writer = Writer(client, CORPUS, spare, self._fail)
        self._window = Window()
        self._done: Counter[str] = Counter()
        self._shown: deque[tuple[str, Case, bool]] = deque(maxlen=100)
        self._rng = random.Random(SEED)

    @property
    def ledger(self) -> Ledger:
        """What they wrote."""
        return self._writer.ledger

    @property
    def done(self) -> Counter[str]:
        """What was answered, by kind."""
        return self._done + self._writer.done

    async def go_on(self, seconds: float, searches: float, writes: float, feedback: float) -> None:
        """Everything at its rate a second, at Poisson times, whatever the service does."""
        start = time.perf_counter()
        acts = ((searches, self._search), (writes, self._write), (feedback, self._feed_back))
        async with asyncio.TaskGroup() as group:
            for number, (rate, act) in enumerate(acts):
                schedule = poisson_schedule(rate, seconds, SEED + number)
                group.create_task(at_times(group, start, schedule, act))

    def take_window(self) -> Window:
        """What happened since the last call."""
        taken, self._window = self._window, Window()
        return taken

    def text_of(self, document_id: str) -> str:
        """The query that a written document answers best: its own content."""
        return query_of(self._writer.terms[document_id])

    async def _search(self, intended: float) -> None:
        written = list(self._writer.terms)
        probe = bool(written) and self._rng.random() < PROBES
        case = self._rng.choice(self._cases)
        query = self.text_of(self._rng.choice(written)) if probe else case.query
        sent = time.perf_counter()
        try:
            answer = await self._client.search(CORPUS, query, top_k=TOP_K)
        except EmbedloopError as error:
            self._fail("search", error)
            return
        self._window.latencies_ms.append(1000 * (time.perf_counter() - intended))
        self._done["searches"] += 1
        hits = [(hit.document_id, hit.metadata) for hit in answer.results]
        self.wrong.update(f"{kind} shown" for kind, _ in self.ledger.wrong(hits, sent))
        if not probe:
            right = any(document_id == case.term_id for document_id, _ in hits)
            self._shown.append((answer.retrieval_id, case, right))

    async def _write(self, _: float) -> None:
        await self._writer.write()

    async def _feed_back(self, _: float) -> None:
        if not self._shown:
            return
        retrieval, case, right = self._shown.popleft()
        signal = Signal.UP if right else Signal.CORRECT
        try:
            await self._client.feedback(retrieval, signal.value, document_id=case.term_id)
        except EmbedloopError as error:
            self._fail("feedback", error)
            return
        self._done["feedback"] += 1

    def _fail(self, what: str, error: EmbedloopError) -> None:
        kind = f"{what}: {error.code}"
        self._window.errors[kind] += 1
        self.errors[kind] += 1
