"""The swaps of one part, one after the other, while others search and write."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from benchmarks.bench_corpus import JOB_SECONDS, check_succeeded
from benchmarks.progress import say
from benchmarks.swap_models import Part
from embedloop.client import AsyncClient
from embedloop.errors import DeadlineExceeded, EmbedloopError, NotFound
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.versions import IndexState

LOOK_SECONDS = 0.1
REEMBED, PROMOTE, ROLLBACK = "re-embed", "promote", "rollback"


@dataclass(frozen=True, slots=True)
class Swap:
    """One move of a corpus from one index version to another; times are of `time.perf_counter()`.

    Attributes:
        kind: `promote` and `rollback` move between versions that stand; `re-embed` builds the new one first.
        source: Model version that served.
        target: Model version that serves now.
        begin: The call to promote was made, or the job came to its stage `promote`.
        end: The call was answered, or the job had ended.
        build_begin: A re-embed's job was submitted; else `begin`.
        spans: Seconds of a re-embed's stages.
    """

    kind: str
    source: str
    target: str
    begin: float
    end: float
    build_begin: float
    spans: dict[str, float]


Move = Callable[[AsyncClient, str], Awaitable[Swap]]


class Mover:
    """Who swaps; each call goes to another replica."""

    def __init__(self, clients: Sequence[AsyncClient], part: Part, calm_seconds: float):
        self.swaps: list[Swap] = []
        self.failed: Counter[str] = Counter()
        self._clients = cycle(clients)
        self._part = part
        self._calm_seconds = calm_seconds

    async def run(self) -> None:
        """Every re-embed, and the swaps that follow it, each after some calm."""
        for model in self._part.rounds:
            await self._swap(self._reembed, model)
            for turn in range(self._part.standing):
                await self._swap(self._stand, PROMOTE if turn % 2 else ROLLBACK)
        await asyncio.sleep(self._calm_seconds)

    async def _swap(self, move: Move, argument: str) -> None:
        await asyncio.sleep(self._calm_seconds)
        try:
            swap = await move(next(self._clients), argument)
        except EmbedloopError as error:
            self.failed[f"swap: {error.code}"] += 1
            say(f"{self._part.corpus}, a swap failed: {error.message}")
            return
        self.swaps.append(swap)
        say(f"{self._part.corpus}, swap {len(self.swaps)}: {swap.kind}, {swap.end - swap.begin:.2f} s")

    async def _stand(self, client: AsyncClient, kind: str) -> Swap:
        """Moves to the version that served before, by name or as a rollback."""
        corpus = self._part.corpus
        versions = await client.index_versions(corpus)
        serving = _one(versions, IndexState.SERVING)
        standby = _one(versions, IndexState.STANDBY)
        begin = time.perf_counter()
        await (client.rollback(corpus) if kind == ROLLBACK else client.promote(corpus, standby["id"]))
        end = time.perf_counter()
        return Swap(kind, serving["model_version"], standby["model_version"], begin, end, begin, {})

    async def _reembed(self, client: AsyncClient, model: str) -> Swap:
        """Re-embeds with a model and lets the job promote what it made."""
        corpus = self._part.corpus
        source = _one(await client.index_versions(corpus), IndexState.SERVING)["model_version"]
        submitted = time.perf_counter()
        job = await client.submit_job(JobKind.REINDEX.value, corpus, {"model_version": model})
        began: dict[str, float] = {}
        while not JobState(job["state"]).ended:
            if time.perf_counter() > submitted + JOB_SECONDS:
                raise DeadlineExceeded(f"job {job['id']} must end in {JOB_SECONDS:g} s, it is {job['stage']}")
            await asyncio.sleep(LOOK_SECONDS)
            job = await client.job(job["id"])
            began.setdefault(job["stage"], time.perf_counter())
        check_succeeded(job)
        end = time.perf_counter()
        begin = began.get("promote", end)
        embed = began.get("verify", begin) - began.get("embed", submitted)
        spans = {"embed": embed, "verify": begin - began.get("verify", begin)}
        return Swap(REEMBED, source, model, begin, end, submitted, spans)


def _one(versions: Sequence[dict[str, Any]], state: IndexState) -> dict[str, Any]:
    """The newest version in a state. Raises NotFound when none is."""
    for version in versions:
        if version["state"] == state.value:
            return version
    raise NotFound(f"one index version must be {state.value}, none is")
