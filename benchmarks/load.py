"""The load generator: `python -m benchmarks.load` puts one level of load on the search route.

Closed loop: each client sends its next search when the last one was answered. Open loop: searches are sent at
the times of a Poisson process, whatever the service does, and their latency counts from the intended time, so
that a stalled service cannot hide its stalls (Schroeder, Wierman and Harchol-Balter 2006, "Open versus
closed: a cautionary tale").
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks import child
from benchmarks.connection import Connection
from benchmarks.figures import latency, poisson_schedule

SETTLE_SECONDS = 300.0
STAGES = ("queue", "encode", "search", "verify", "total")


@dataclass
class Tally:
    """What was answered within the measured window."""

    latencies_ms: list[float] = field(default_factory=list)
    took_ms: list[dict[str, float]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    answered_at: list[float] = field(default_factory=list)
    hits: int = 0
    last_at: float = 0.0
    sent_in_all: int = 0

    @property
    def ended(self) -> int:
        return len(self.latencies_ms) + self.errors.total()

    def answered_within(self, begin: float, end: float) -> int:
        """Searches answered with 200 from `begin` to `end`, whenever they were sent."""
        return sum(begin <= at < end for at in self.answered_at)

    def result(self, seconds: float, cpu_seconds: float) -> dict[str, Any]:
        """The level's figures; those of latency are of answered searches only."""
        answered = len(self.latencies_ms)
        return {
            "requests": answered,
            "errors": dict(self.errors),
            "seconds": round(seconds, 2),
            "requests_per_second": round(answered / seconds, 2),
            "latency_ms": latency(self.latencies_ms) if answered else None,
            "took_ms_median": {
                stage: round(median(one[stage] for one in self.took_ms), 3) for stage in STAGES if self.took_ms
            },
            "right_term_in_top_k": round(self.hits / answered, 4) if answered else None,
            "generator_cores": round(cpu_seconds / seconds, 3),
            "sent_in_all": self.sent_in_all,
        }


async def one_search(
    connection: Connection,
    case: Sequence[str],
    since: float,
    tally: Tally,
    *,
    counted: bool,
    timeout_seconds: float,
) -> None:
    """Sends one search and counts it.

    Args:
        connection: Which one carries it.
        case: The query and the id of the one right document.
        since: `time.perf_counter()` at which its latency begins.
        tally: Where it is counted.
        counted: False for the warm-up.
        timeout_seconds: From `since` on; then it is given up.
    """
    query, right = case
    tally.sent_in_all += 1
    problem, body = "", b""
    try:
        async with asyncio.timeout(since + timeout_seconds - time.perf_counter()):
            status, body = await connection.search(query)
        problem = "" if status == 200 else f"status {status}"
    except (OSError, EOFError, ValueError) as error:
        problem = type(error).__name__
    ended = time.perf_counter()
    if not problem:
        tally.answered_at.append(ended)
    if not counted:
        return
    tally.last_at = ended
    if problem:
        tally.errors[problem] += 1
        return
    answer = json.loads(body)
    tally.latencies_ms.append(1000 * (ended - since))
    if "took_ms" in answer:
        tally.took_ms.append(answer["took_ms"])
    tally.hits += any(hit["document_id"] == right for hit in answer["results"])


async def closed_loop(config: dict[str, Any]) -> dict[str, Any]:
    """`clients` clients, each with one search under way.

    Measures for at least `least_seconds` and `least_requests`, but at most `most_seconds`.
    """
    cases = _cases(config)
    tally = Tally()
    begin = time.perf_counter() + config["warm_up_seconds"]
    cpu_at_begin = 0.0

    def goes_on() -> bool:
        spent = time.perf_counter() - begin
        enough = spent >= config["least_seconds"] and tally.ended >= config["least_requests"]
        return not enough and spent < config["most_seconds"]

    async def client() -> None:
        nonlocal cpu_at_begin
        connection = _connection(config)
        while goes_on():
            now = time.perf_counter()
            if now < begin:
                cpu_at_begin = time.process_time()
            await one_search(
                connection,
                next(cases),
                now,
                tally,
                counted=now >= begin,
                timeout_seconds=config["timeout_seconds"],
            )
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(config["clients"]):
            group.create_task(client())
    cpu_seconds = time.process_time() - cpu_at_begin
    return {"clients": config["clients"]} | tally.result(tally.last_at - begin, cpu_seconds)


async def open_loop(config: dict[str, Any], stop: threading.Event | None = None) -> dict[str, Any]:
    """Searches at Poisson times with `rate` a second; a late answer delays no later search.

    `requests_per_second` is the goodput: what was answered with 200 while searches were being sent. Latency is
    of every search of the window that was answered, also after its end.

    Args:
        config: Of the level.
        stop: Ends the level before its time when it is set.
    """
    cases = _cases(config)
    tally = Tally()
    idle: list[Connection] = []
    made: list[Connection] = []

    async def arrival(intended: float, counted: bool) -> None:
        if not idle:
            made.append(_connection(config))
            idle.append(made[-1])
        connection = idle.pop()
        timeout_seconds = config["timeout_seconds"]
        await one_search(
            connection, next(cases), intended, tally, counted=counted, timeout_seconds=timeout_seconds
        )
        idle.append(connection)

    warm_up = config["warm_up_seconds"]
    schedule = poisson_schedule(config["rate"], warm_up + config["seconds"], config["seed"])
    start = time.perf_counter()
    cpu_at_begin, offered = 0.0, 0
    async with asyncio.TaskGroup() as group:
        for at in schedule:
            await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
            if stop is not None and stop.is_set():
                break
            if at < warm_up:
                cpu_at_begin = time.process_time()
            offered += at >= warm_up
            group.create_task(arrival(start + at, at >= warm_up))
        sent_until = time.perf_counter()
    for connection in made:
        connection.close()
    begin = start + warm_up
    stopped = stop is not None and stop.is_set()
    end = max(sent_until, begin + 0.001) if stopped else begin + config["seconds"]
    figures = tally.result(end - begin, time.process_time() - cpu_at_begin)
    goodput = tally.answered_within(begin, end) / (end - begin)
    return (
        {"rate": round(config["rate"], 2), "offered": offered, "connections": len(made)}
        | figures
        | {"requests_per_second": round(goodput, 2)}
    )


async def settle(config: dict[str, Any]) -> None:
    """Waits for one answer, so that what an earlier level left in the queue is no part of the next."""
    connection = _connection(config)
    with suppress(OSError, EOFError, ValueError):
        async with asyncio.timeout(SETTLE_SECONDS):
            await connection.search("settle")
    connection.close()


def _connection(config: dict[str, Any]) -> Connection:
    return Connection(config["url"], config["path"], config["key"], config["top_k"])


def _cases(config: dict[str, Any]) -> Iterator[Sequence[str]]:
    cases: list[Sequence[str]] = list(config["cases"])
    random.Random(config["seed"]).shuffle(cases)
    return itertools.cycle(cases)


async def _level(config: dict[str, Any]) -> dict[str, Any]:
    await settle(config)
    return await (closed_loop(config) if "clients" in config else open_loop(config))


def main(config: dict[str, Any]) -> dict[str, Any]:
    """Runs the level that the configuration describes."""
    return asyncio.run(_level(config))


if __name__ == "__main__":
    child.answer(main)
