from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from benchmarks.figures import latency, percentile, poisson_schedule, ratio
from benchmarks.load import Tally, closed_loop, open_loop, settle
from embedloop.errors import InvalidInput

ANSWER = {
    "results": [{"document_id": "HP:1"}],
    "took_ms": {"queue": 1.0, "encode": 2.0, "search": 3.0, "verify": 4.0, "total": 10.0},
}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.95, 4.8), (1.0, 5.0)])
def test_percentile_lies_between_the_two_nearest_values(share: float, expected: float) -> None:
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], share) == pytest.approx(expected)


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.5), ([1.0], -0.1)])
def test_percentile_of_nothing_or_beyond_the_ends_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(InvalidInput):
        percentile(values, share)


def test_latency_names_percentiles_mean_and_max() -> None:
    assert latency([1.0, 2.0, 6.0]) == {"p50": 2.0, "p95": 5.6, "p99": 5.92, "max": 6.0, "mean": 3.0}


def test_poisson_schedule_ascends_within_its_length_and_keeps_its_rate() -> None:
    times = poisson_schedule(rate=50.0, seconds=200.0, seed=1)
    assert times == sorted(times)
    assert 0.0 < times[0] < times[-1] < 200.0
    assert len(times) == pytest.approx(10_000, rel=0.05)


def test_poisson_gaps_vary_as_those_of_a_poisson_process_do() -> None:
    times = poisson_schedule(rate=50.0, seconds=200.0, seed=1)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.1)


def test_poisson_schedule_is_settled_by_its_seed() -> None:
    assert poisson_schedule(5.0, 10.0, seed=3) == poisson_schedule(5.0, 10.0, seed=3)
    assert poisson_schedule(5.0, 10.0, seed=3) != poisson_schedule(5.0, 10.0, seed=4)


@pytest.mark.parametrize(("rate", "seconds"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_schedule_without_rate_or_length_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(InvalidInput, match="must be positive"):
        poisson_schedule(rate, seconds, seed=1)


def test_ratio_to_nothing_is_refused() -> None:
    assert ratio(1.0, 3.0) == 0.333
    with pytest.raises(InvalidInput):
        ratio(1.0, 0.0)


def test_errors_are_counted_beside_answers() -> None:
    tally = Tally()
    tally.errors["status 429"] += 2
    result = tally.result(seconds=2.0, cpu_seconds=1.0)
    assert tally.ended == 2
    assert result["requests"] == 0
    assert result["errors"] == {"status 429": 2}
    assert result["latency_ms"] is None


class FakeService:
    """Answers every search on a socket, every `fails_every`-th with 503; a silent one only reads."""

    def __init__(
        self,
        fails_every: int = 0,
        answer: dict[str, Any] = ANSWER,
        silent: bool = False,
        at_twentieth: Callable[[], None] = lambda: None,
    ):
        self.requests: list[dict[str, Any]] = []
        self.paths: set[bytes] = set()
        self.connections = 0
        self._fails_every = fails_every
        self._answer = answer
        self._silent = silent
        self._at_twentieth = at_twentieth
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        while head := await self._head(reader):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            self.paths.add(head.split(b" ")[1])
            self.requests.append(json.loads(await reader.readexactly(length)))
            failed = self._fails_every and len(self.requests) % self._fails_every == 0
            status, body = (
                (b"503 Unavailable", b"{}") if failed else (b"200 OK", json.dumps(self._answer).encode())
            )
            if len(self.requests) == 20:
                self._at_twentieth()
            if self._silent:
                continue
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, Any]]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield {
                "url": f"http://127.0.0.1:{port}",
                "key": "k",
                "path": "/v1/corpora/bench/search",
                "timeout_seconds": 30.0,
                "top_k": 10,
                "cases": [["nosebleed", "HP:1"], ["short", "HP:2"]],
                "seed": 1,
                "warm_up_seconds": 0.0,
            }
        # The generator has hung up; its connections must be gone before the loop is.
        await asyncio.wait_for(asyncio.gather(*self._serving), 10)


CLOSED = {"clients": 2, "least_requests": 40, "least_seconds": 0.0, "most_seconds": 30.0}


async def test_closed_loop_counts_its_searches_over_connections_that_stay_open() -> None:
    service = FakeService()
    async with service.running() as config:
        result = await closed_loop(config | CLOSED)
    assert service.connections == 2
    assert result["requests"] == len(service.requests) in (40, 41)
    assert result["errors"] == {}
    assert result["took_ms_median"] == ANSWER["took_ms"]
    assert result["right_term_in_top_k"] == pytest.approx(0.5, abs=0.02)
    assert service.requests[0].keys() == {"query", "top_k"}


async def test_closed_loop_tells_refused_searches_from_answered_ones() -> None:
    service = FakeService(fails_every=4)
    async with service.running() as config:
        result = await closed_loop(config | CLOSED)
    assert result["errors"] == {"status 503": len(service.requests) // 4}
    assert result["requests"] == len(service.requests) - len(service.requests) // 4


async def test_closed_loop_without_a_service_reports_errors_instead_of_failing() -> None:
    async with FakeService().running() as config:
        pass
    result = await closed_loop(config | CLOSED)
    assert result["requests"] == 0
    assert set(result["errors"]) == {"ConnectionRefusedError"}


async def test_open_loop_sends_every_search_of_its_schedule() -> None:
    service = FakeService()
    async with service.running() as config:
        result = await open_loop(config | {"rate": 200.0, "seconds": 0.5})
    assert result["requests"] == len(service.requests) == len(poisson_schedule(200.0, 0.5, seed=1))
    assert result["connections"] == service.connections
    assert result["offered"] == result["requests"]
    assert result["requests_per_second"] == pytest.approx(result["requests"] / 0.5, rel=0.1)


async def test_search_that_is_not_answered_in_time_is_given_up_and_counted() -> None:
    service = FakeService(silent=True)
    async with service.running() as config:
        result = await open_loop(config | {"rate": 100.0, "seconds": 0.2, "timeout_seconds": 0.1})
    assert result["requests"] == 0
    assert result["errors"] == {"TimeoutError": result["offered"]}
    assert result["requests_per_second"] == 0.0
    assert result["latency_ms"] is None


async def test_open_loop_that_is_told_to_stop_counts_only_the_time_until_then() -> None:
    stop = threading.Event()
    service = FakeService(at_twentieth=stop.set)
    async with service.running() as config:
        result = await open_loop(config | {"rate": 100.0, "seconds": 600.0}, stop)
    assert result["requests"] == result["offered"] == len(service.requests) >= 20
    assert result["seconds"] < 300.0
    assert result["requests_per_second"] == pytest.approx(result["requests"] / result["seconds"], rel=0.1)


async def test_answers_without_the_services_own_times_are_counted_all_the_same() -> None:
    service = FakeService(answer={"results": [{"document_id": "HP:1"}]})
    async with service.running() as config:
        result = await closed_loop(config | CLOSED | {"path": "/search"})
    assert service.paths == {b"/search"}
    assert result["requests"] == len(service.requests)
    assert result["took_ms_median"] == {}


async def test_settling_takes_one_search_and_no_service_is_no_failure_of_it() -> None:
    service = FakeService()
    async with service.running() as config:
        await settle(config)
    assert len(service.requests) == 1
    await settle(config)
    assert len(service.requests) == 1


def test_answers_are_counted_within_the_window_whenever_they_were_sent() -> None:
    tally = Tally(answered_at=[0.9, 1.0, 1.5, 2.0])
    assert tally.answered_within(1.0, 2.0) == 2
