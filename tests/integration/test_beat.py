"""Two beats on one broker: one sends, the other stands by and takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from tests.patience import eventually
from tests.servers import Server, valkey
from workers import heartbeat
from workers.beat import LEASE_KEY, LeasedScheduler

TASK = "nothing"
ALWAYS_DUE = 0.0


@pytest.fixture
def broker(valkey_server: Server) -> Iterator[Redis]:
    client = Redis(port=valkey_server.port)
    client.delete("celery", LEASE_KEY)
    yield client
    client.delete("celery", LEASE_KEY)
    client.close()


@pytest.fixture
def beat(broker: Redis, valkey_server: Server) -> Iterator[Callable[..., LeasedScheduler]]:
    """A scheduler like that of a beat process of its own; its one task is due at every tick."""
    made: list[LeasedScheduler] = []

    def make(
        *, every: float = 60.0, file: Path | None = None, port: int = valkey_server.port
    ) -> LeasedScheduler:
        app = Celery("beat", broker=f"redis://127.0.0.1:{port}/0", set_as_current=False)
        app.conf.update(
            task_ignore_result=True,
            broker_transport_options={"socket_timeout": 2, "socket_connect_timeout": 2},
            beat_max_loop_interval=every,
            beat_schedule={"always": {"task": TASK, "schedule": ALWAYS_DUE}},
        )
        heartbeat.install(app, file)
        made.append(LeasedScheduler(app))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()
        scheduler.app.close()


def sent(broker: Redis) -> int:
    return int(broker.llen("celery"))  # type: ignore[arg-type]


def test_of_two_beats_one_sends(beat: Callable[..., LeasedScheduler], broker: Redis) -> None:
    first, second = beat(), beat()
    for _ in range(5):
        first.tick()
        assert second.tick() == second.max_interval
    assert sent(broker) == 5


def test_beat_that_stops_hands_over_at_once(beat: Callable[..., LeasedScheduler], broker: Redis) -> None:
    first, second = beat(), beat()
    first.tick()
    first.close()
    second.tick()
    first.tick()
    assert sent(broker) == 2
    assert broker.exists(LEASE_KEY)


def test_lease_of_a_beat_that_was_killed_ends(beat: Callable[..., LeasedScheduler], broker: Redis) -> None:
    killed, other = beat(every=0.1), beat(every=0.1)
    killed.tick()
    eventually(lambda: other.tick() < other.max_interval, "the other beat to take over")
    before = sent(broker)
    killed.tick()
    assert sent(broker) == before, "one that comes back late must stand by"


def test_beat_waits_for_a_broker_that_is_away_and_goes_on(
    beat: Callable[..., LeasedScheduler], tmp_path: Path
) -> None:
    server = valkey(tmp_path)
    server.start()
    try:
        alone = beat(port=server.port)
        alone.tick()
        server.kill()
        assert alone.tick() == alone.max_interval
        server.start()
        eventually(lambda: alone.tick() < alone.max_interval, "the beat to go on")
        alone.close()
    finally:
        server.stop()


def test_heartbeat_file_is_touched_by_a_beat_that_stands_by(
    beat: Callable[..., LeasedScheduler], tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    beat().tick()
    beat(file=file).tick()
    assert file.exists()
