"""Looks at everything every few seconds while the soak goes on, and keeps what it sees."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import redis

from benchmarks import memory, soak_figures
from benchmarks.bench_corpus import Bench, serving
from benchmarks.report import Report
from benchmarks.soak_traffic import Traffic
from embedloop.client.results import Json
from embedloop.errors import EmbedloopError
from embedloop.records.jobs import JobState

QUEUES = ("apply", "default", "embed", "train")
# The report is written once in so many looks.
WRITE_EVERY = 12


def broker_of(bench: Bench) -> redis.Redis:
    """A connection to the broker of a stack that was given one."""
    return redis.Redis.from_url(bench.stack.broker or "", socket_timeout=5)


def queued(broker: redis.Redis) -> int | None:
    """Tasks that wait in the queues of the workers; None while the broker does not answer."""
    try:
        return sum(int(str(broker.llen(name))) for name in QUEUES)
    except redis.RedisError:
        return None


class Watch:
    """The windows so far, the cycle, and how often each process was replaced by another."""

    def __init__(self, bench: Bench, traffic: Traffic, report: Report, window_seconds: float):
        self.windows = soak_figures.empty_windows()
        self.cycle: dict[str, Any] | None = None
        self._bench = bench
        self._traffic = traffic
        self._report = report
        self._window_seconds = window_seconds
        self._broker = broker_of(bench)
        self._pids: dict[str, int] = dict(bench.pids())
        self._restarts: Counter[str] = Counter()
        self._begin = time.perf_counter()

    @property
    def restarts(self) -> dict[str, int]:
        """Processes that were replaced while it went on."""
        return dict(self._restarts)

    def follow(self, job: Json) -> None:
        """From now on the cycle's job is looked at too."""
        self.cycle = {"job": job["id"], "began_at": self._now(), "ended_at": None, "state": job["state"]}
        self.cycle["stages"] = {}

    async def go_on(self) -> None:
        """Looks until it is cancelled."""
        number = 0
        while True:
            number += 1
            at = self._begin + number * self._window_seconds
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            window = self._traffic.take_window()
            seen = await asyncio.to_thread(self._look)
            soak_figures.add_window(
                self.windows,
                at=self._now(),
                latencies_ms=window.latencies_ms,
                errors=window.errors.total(),
                **seen,
            )
            if number % WRITE_EVERY == 0:
                await asyncio.to_thread(self._write)

    def _look(self) -> dict[str, Any]:
        pids = self._bench.pids()
        self._count_restarts(pids)
        self._follow_cycle()
        return {"mib": memory.look(pids), "lag": self._lag(), "queued": queued(self._broker)}

    def _lag(self) -> int | None:
        try:
            return int(serving(self._bench.client)["lag"])
        except EmbedloopError:
            return None

    def _follow_cycle(self) -> None:
        if self.cycle is None or self.cycle["ended_at"] is not None:
            return
        try:
            job = self._bench.client.job(self.cycle["job"])
        except EmbedloopError:
            return
        self.cycle["state"] = job["state"]
        self.cycle["stages"].setdefault(job["stage"], self._now())
        if JobState(job["state"]).ended:
            self.cycle |= {"ended_at": self._now(), "error": job.get("error"), "result": job.get("result")}

    def _count_restarts(self, pids: Mapping[str, int]) -> None:
        for name, pid in pids.items():
            self._restarts[name] += self._pids.get(name, pid) != pid
        self._restarts = +self._restarts
        self._pids |= pids

    def _write(self) -> None:
        self._report.keep("cycle", self.cycle)
        self._report.keep("windows", self.windows)

    def _now(self) -> float:
        return round(time.perf_counter() - self._begin, 1)
