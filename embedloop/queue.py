"""Enqueue by task name: the names, their queues, and the one producer of a process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from embedloop.catalog import jobs
from embedloop.catalog.database import Database
from embedloop.catalog.jobs import Letter
from embedloop.errors import Unavailable

log = logging.getLogger(__name__)

RUN_STAGE = "embedloop.run_stage"
EMBED_SHARD = "embedloop.embed_shard"
APPLY_CHANGES = "embedloop.apply_changes"
REAP = "embedloop.reap"
CHECK_TRIGGERS = "embedloop.check_triggers"
RECONCILE = "embedloop.reconcile"
SWEEP = "embedloop.sweep"
SETTLE_REMOVALS = "embedloop.settle_removals"

QUEUES = ("train", "embed", "apply", "default")
# A wake-up that was lost with its worker holds others back for no longer; the reaper sends the next one.
AWAKE_SECONDS = 2
_QUEUE_OF_TASK = {EMBED_SHARD: "embed", APPLY_CHANGES: "apply"}
# Stages that load torch, or encode for a long time, stay away from the quick ones.
_TRAIN_STAGES = frozenset(
    {"train", "gate", "evaluate", "headroom", "prepare", "difference", "bridge", "compress"}
    | {"train_reranker", "gate_reranker", "index_trial"}
)


def queue_of(task: str, args: Sequence[Any]) -> str:
    """The queue of a task; a stage goes where its work belongs."""
    if task == RUN_STAGE:
        return "train" if args[1] in _TRAIN_STAGES else "default"
    return _QUEUE_OF_TASK.get(task, "default")


class TaskQueue:
    """Sends tasks to the broker; create it after a fork."""

    def __init__(self, broker_url: str, *, timeout_seconds: float = 3.0):
        self._app = Celery("embedloop", broker=broker_url, set_as_current=False)
        self._app.conf.update(
            task_ignore_result=True,
            broker_connection_timeout=timeout_seconds,
            broker_transport_options={
                "socket_timeout": timeout_seconds,
                "socket_connect_timeout": timeout_seconds,
                "max_retries": 1,
            },
        )

    def send(self, task: str, *args: Any) -> None:
        """Raises Unavailable when the broker does not take the task in time."""
        with _translated():
            self._app.send_task(
                task,
                args=args,
                queue=queue_of(task, args),
                ignore_result=True,
                retry=False,
            )

    def wake(self, task: str, *args: Any) -> None:
        """Sends a task that the reaper would send anyway: a broker that is away only makes it later."""
        try:
            self.send(task, *args)
        except Unavailable as error:
            log.warning("%s will be sent by the reaper: %s", task, error)

    def wake_applier(self, index_version_id: str) -> None:
        """Wakes the applier of a version, unless a wake-up waits already that no worker has taken yet.

        Without that, many writes would fill the queue with wake-ups that find nothing left to apply.
        """
        try:
            with _translated(), self._app.pool.acquire(block=True) as connection:
                client = connection.default_channel.client
                if not client.set(_awake(index_version_id), 1, nx=True, ex=AWAKE_SECONDS):
                    return
        except Unavailable as error:
            log.warning("the applier of %s will be woken by the reaper: %s", index_version_id, error)
            return
        self.wake(APPLY_CHANGES, index_version_id)

    def take_wake_up(self, index_version_id: str) -> None:
        """Lets changes from now on send another wake-up; an applier calls it before it reads the log."""
        try:
            with _translated(), self._app.pool.acquire(block=True) as connection:
                connection.default_channel.client.delete(_awake(index_version_id))
        except Unavailable as error:
            log.warning("the next wake-up of %s may come late: %s", index_version_id, error)

    def waiting(self, name: str) -> int:
        """Tasks of a queue that no worker has taken. Raises Unavailable when the broker does not answer."""
        with self._connected() as connection:
            return int(connection.default_channel.client.llen(name))

    def ping(self) -> None:
        """Raises Unavailable when the broker does not answer."""
        with self._connected():
            pass

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with _translated(), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            yield connection

    def close(self) -> None:
        self._app.close()


def _awake(index_version_id: str) -> str:
    return f"embedloop:awake:{index_version_id}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        raise Unavailable(f"the broker does not answer: {error}", retry_after_seconds=2) from error


def deliver(database: Database, queue: TaskQueue, letters: Sequence[Letter]) -> None:
    """Sends letters after their transaction has committed; what cannot be sent stays in the outbox."""
    sent = []
    for letter in letters:
        try:
            queue.send(letter.task, *letter.args)
        except Unavailable as error:
            log.warning("outbox keeps %s: %s", letter.task, error)
            break
        sent.append(letter.outbox_id)
    if sent:
        with database.write() as connection:
            jobs.mark_sent(connection, sent)
