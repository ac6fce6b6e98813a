"""The clients that search all the time, over all replicas, and keep what they were shown."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.connection import Connection
from benchmarks.plan import SEED, TOP_K, SwapPlan
from benchmarks.soak_ledger import Ledger
from benchmarks.swap_oracle import Answer

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Search:
    """One search; times are of `time.perf_counter()`. It has an answer, or an error by kind."""

    sent_at: float
    ended_at: float
    answer: Answer | None
    error: str | None

    @property
    def latency_ms(self) -> float:
        return 1000 * (self.ended_at - self.sent_at)


@dataclass
class Searchers:
    """`plan.clients` clients; each asks the replicas in turn.

    Attributes:
        urls: The replicas.
        key: Of the API.
        corpus: Where they search.
        queries: What they ask for.
        plan: How many they are, and how often they ask.
        ledgers: What was written meanwhile.
        searches: What came of each search.
        texts: Title and text of every passage shown, by their numbers.
        wrong: Shown deletes and outdated contents, by kind.
    """

    urls: Sequence[str]
    key: str
    corpus: str
    queries: Sequence[str]
    plan: SwapPlan
    ledgers: Sequence[Ledger]
    searches: list[Search] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def texts(self) -> list[tuple[str, str]]:
        return list(self._numbers)

    async def go_on(self) -> None:
        """Searches until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.plan.clients):
                group.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        path = f"/v1/corpora/{self.corpus}/search"
        connections = [Connection(url, path, self.key, TOP_K) for url in self.urls]
        rng = random.Random(SEED + number)
        # Not all at once.
        await asyncio.sleep(self.plan.period_seconds * number / self.plan.clients)
        for turn in range(number, 10**9):
            begin = time.perf_counter()
            await self._search(connections[turn % len(connections)], rng.randrange(len(self.queries)))
            spent = time.perf_counter() - begin
            await asyncio.sleep(max(0.0, self.plan.period_seconds - spent))

    async def _search(self, connection: Connection, query: int) -> None:
        sent = time.perf_counter()
        problem, body = "", b""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status, body = await connection.search(self.queries[query])
            problem = "" if status == 200 else f"status {status}"
        except (OSError, EOFError, ValueError) as error:
            problem = type(error).__name__
        ended = time.perf_counter()
        answer = None if problem else self._read(query, json.loads(body), sent)
        self.searches.append(Search(sent, ended, answer, problem or None))

    def _read(self, query: int, body: dict[str, Any], sent: float) -> Answer:
        hits = body["results"]
        shown = [(hit["document_id"], hit["metadata"]) for hit in hits]
        for ledger in self.ledgers:
            self.wrong.update(f"{kind} shown" for kind, _ in ledger.wrong(shown, sent))
        passages = tuple((self._number(hit["title"], hit["text"]), float(hit["score"])) for hit in hits)
        return Answer(query, body["index_version"], body["model_version"], passages)

    def _number(self, title: str, text: str) -> int:
        return self._numbers.setdefault((title, text), len(self._numbers))
