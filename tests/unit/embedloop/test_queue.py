"""Where tasks go, and what becomes of them when the broker is away."""

from __future__ import annotations

import base64
import json

import pytest
import redis

from embedloop.catalog import jobs
from embedloop.catalog.database import Database
from embedloop.errors import Unavailable
from embedloop.jobs import STAGES
from embedloop.queue import (
    APPLY_CHANGES,
    AWAKE_SECONDS,
    CHECK_TRIGGERS,
    EMBED_SHARD,
    QUEUES,
    REAP,
    RECONCILE,
    RUN_STAGE,
    TaskQueue,
    deliver,
    queue_of,
)
from tests.servers import Server, free_port


@pytest.mark.parametrize(
    ("stage", "queue"),
    [
        ("collect", "default"),
        ("train", "train"),
        ("gate", "train"),
        ("evaluate", "train"),
        ("headroom", "train"),
        ("index_trial", "train"),
        ("train_reranker", "train"),
        ("gate_reranker", "train"),
        ("difference", "train"),
        ("bridge", "train"),
        ("compress", "train"),
        ("prepare", "train"),
        ("build", "default"),
        ("embed", "default"),
        ("verify", "default"),
        ("promote", "default"),
    ],
)
def test_a_stage_goes_where_its_work_belongs(stage: str, queue: str) -> None:
    assert queue_of(RUN_STAGE, ["j-1", stage]) == queue


def test_every_stage_and_task_has_a_queue_that_a_worker_serves() -> None:
    stages = {stage.name for kind in STAGES.values() for stage in kind}
    assert {queue_of(RUN_STAGE, ["j", stage]) for stage in stages} <= set(QUEUES)
    assert queue_of(EMBED_SHARD, [1]) == "embed"
    assert queue_of(APPLY_CHANGES, ["iv-1"]) == "apply"
    assert {queue_of(task, []) for task in (REAP, CHECK_TRIGGERS, RECONCILE)} == {"default"}


@pytest.fixture
def broker_url(valkey_server: Server) -> str:
    url = f"redis://127.0.0.1:{valkey_server.port}/7"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


def waiting(url: str, queue: str) -> list[list[object]]:
    """The arguments of the tasks in a queue, the oldest first."""
    with redis.Redis.from_url(url) as client:
        raw = client.lrange(queue, 0, -1)
    bodies = [json.loads(entry) for entry in reversed(raw)]  # type: ignore[arg-type]
    return [[body["headers"]["task"], *json.loads(base64.b64decode(body["body"]))[0]] for body in bodies]


def test_wake_ups_of_one_version_are_one_until_an_applier_takes_it(broker_url: str) -> None:
    first, second = TaskQueue(broker_url), TaskQueue(broker_url)
    for queue in (first, second, first):
        queue.wake_applier("iv-1")
    second.wake_applier("iv-2")
    assert waiting(broker_url, "apply") == [[APPLY_CHANGES, "iv-1"], [APPLY_CHANGES, "iv-2"]]
    second.take_wake_up("iv-1")
    first.wake_applier("iv-1")
    first.wake_applier("iv-2")
    assert waiting(broker_url, "apply")[2:] == [[APPLY_CHANGES, "iv-1"]]
    first.close()
    second.close()


def test_wake_up_that_was_lost_holds_others_back_for_a_bounded_time(broker_url: str) -> None:
    queue = TaskQueue(broker_url)
    queue.wake_applier("iv-1")
    with redis.Redis.from_url(broker_url) as client:
        (mark,) = client.keys("embedloop:awake:*")  # type: ignore[misc]
        left = client.ttl(mark)
    queue.close()
    assert 0 < left <= AWAKE_SECONDS  # type: ignore[operator]


def test_applier_is_woken_by_nobody_while_the_broker_is_away_and_no_writer_fails() -> None:
    queue = TaskQueue(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=0.2)
    queue.wake_applier("iv-1")
    queue.take_wake_up("iv-1")
    queue.close()


def test_a_task_arrives_in_its_queue_with_its_arguments(broker_url: str) -> None:
    queue = TaskQueue(broker_url)
    queue.ping()
    queue.send(EMBED_SHARD, 7)
    queue.send(RUN_STAGE, "j-1", "train")
    queue.wake(APPLY_CHANGES, "iv-1")
    queue.close()
    assert waiting(broker_url, "embed") == [[EMBED_SHARD, 7]]
    assert waiting(broker_url, "train") == [[RUN_STAGE, "j-1", "train"]]
    assert waiting(broker_url, "apply") == [[APPLY_CHANGES, "iv-1"]]


def test_tasks_that_no_worker_has_taken_are_counted(broker_url: str) -> None:
    tasks = TaskQueue(broker_url)
    assert tasks.waiting("embed") == 0
    tasks.send(EMBED_SHARD, 1)
    tasks.send(EMBED_SHARD, 2)
    assert tasks.waiting("embed") == 2
    tasks.close()


def test_a_broker_that_is_away_is_unavailable() -> None:
    queue = TaskQueue(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=0.5)
    with pytest.raises(Unavailable, match="broker") as failure:
        queue.send(REAP)
    assert failure.value.retryable
    with pytest.raises(Unavailable):
        queue.ping()
    queue.wake(REAP)
    queue.close()


def test_letters_leave_the_outbox_when_they_are_sent(database: Database, broker_url: str) -> None:
    with database.write() as connection:
        letters = [jobs.post(connection, RUN_STAGE, "j-1", "embed"), jobs.post(connection, REAP)]
    queue = TaskQueue(broker_url)
    deliver(database, queue, letters)
    queue.close()
    with database.write() as connection:
        assert jobs.take_unsent(connection, -1) == []
    assert waiting(broker_url, "default") == [[RUN_STAGE, "j-1", "embed"], [REAP]]


def test_letters_stay_in_the_outbox_while_the_broker_is_away(database: Database) -> None:
    with database.write() as connection:
        letters = [jobs.post(connection, REAP), jobs.post(connection, RECONCILE)]
    queue = TaskQueue(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=0.5)
    deliver(database, queue, letters)
    queue.close()
    with database.write() as connection:
        assert [letter.task for letter in jobs.take_unsent(connection, -1)] == [REAP, RECONCILE]
