"""kill -9 at a random moment, and workers that are stopped in mid-write and come back when all has moved on."""

from __future__ import annotations

import queue
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
from sqlalchemy import and_, select

from embedloop.catalog.database import clock
from embedloop.catalog.tables import index_versions, placements, shards
from embedloop.errors import EmbedloopError, Unavailable
from embedloop.records import IndexState
from tests.faults import record
from tests.faults.cluster import CORPUS, HEAL_SECONDS, Cluster
from tests.faults.plan import Kill, Zombie
from tests.faults.record import Record
from tests.integration.stack.conftest import eventually

# How long a moment in mid-write is looked for, and how long another worker has to take over.
CATCH_SECONDS = 20.0
TAKE_OVER_SECONDS = 60.0
TRIES = 5
LOOK_SECONDS = 0.002
WORKERS = {"embed": ("embed-1", "embed-2"), "apply": ("apply", "apply-2")}
MOST_ATTACKED = 8


@dataclass
class Chaos:
    """Threads that kill and stop; the driver asks for `targets` and writes to those documents meanwhile."""

    cluster: Cluster
    record: Record
    seed: int
    targets: queue.SimpleQueue[list[str]] = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def start(self, step: Kill | Zombie) -> None:
        self.record.note(str(step))
        work = self._kill if isinstance(step, Kill) else self._stop
        thread = threading.Thread(target=self._guarded, args=(work, step), name=str(step))
        self._threads.append(thread)
        thread.start()

    def is_busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _guarded(self, work: Callable[[Kill | Zombie], None], step: Kill | Zombie) -> None:
        """A thread's failure is the run's."""
        try:
            work(step)
        except Exception as error:
            self.record.find(record.DISAGREE, f"{step} could not be done: {type(error).__name__}: {error}")

    def _kill(self, step: Kill | Zombie) -> None:
        assert isinstance(step, Kill)
        threading.Event().wait(step.delay_ms / 1000)
        # One that is just being restarted after another kill is waited for.
        eventually(lambda: self._killed(step.part), HEAL_SECONDS, f"a {step.part} to kill")
        self.record.killed(step.part)

    def _killed(self, part: str) -> bool:
        try:
            self.cluster.kill(part)
        except (Unavailable, psutil.NoSuchProcess):
            return False
        return True

    def _stop(self, step: Kill | Zombie) -> None:
        assert isinstance(step, Zombie)
        for number in range(TRIES):
            with self._turn:
                made = _Stopped(self.cluster, self.record, step.queue, random.Random(self.seed + number))
                if made.try_once(self.targets):
                    self.record.count(f"zombies, {step.queue}")
                    return
        self.record.count(f"zombies, {step.queue}, not caught in mid-write")


@dataclass
class _Stopped:
    """One try: both workers of a queue are stopped, one goes on, the other is a zombie if it held a lease."""

    cluster: Cluster
    record: Record
    queue: str
    chance: random.Random

    def try_once(self, targets: queue.SimpleQueue[list[str]]) -> bool:
        if not self._wait(self._is_writing, CATCH_SECONDS):
            return False
        stopped: dict[str, list[psutil.Process]] = {}
        try:
            for part in WORKERS[self.queue]:
                stopped[part] = self.cluster.stop(part)
            if not self._is_writing() or self._blocks_the_catalog():
                return False
            tokens = self._tokens()
            targets.put(self._being_written())
            _resume(stopped.pop(self.chance.choice(WORKERS[self.queue])))
            if self._wait(lambda: self._taken_over(tokens), TAKE_OVER_SECONDS):
                self.record.note(f"the {self.queue} worker lost its lease while it was stopped")
                return True
            return False
        except (Unavailable, psutil.NoSuchProcess) as error:
            self.record.note(f"no zombie: {error}")
            return False
        finally:
            for family in stopped.values():
                _resume(family)

    def _is_writing(self) -> bool:
        """Whether rows are on their way: recorded before they are sent, and not yet as written."""
        return bool(self._being_written()) and bool(self._held())

    def _being_written(self) -> list[str]:
        building = self.queue == "embed"
        state = index_versions.c.state
        statement = (
            select(placements.c.document_id)
            .join(
                index_versions,
                and_(index_versions.c.index_version_id == placements.c.index_version_id),
            )
            .where(
                index_versions.c.corpus == CORPUS,
                state == IndexState.BUILDING.value if building else state != IndexState.BUILDING.value,
                ~placements.c.written,
            )
            .limit(MOST_ATTACKED)
        )
        with self.cluster.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def _held(self) -> list[int]:
        """Tokens of the leases that are held now."""
        if self.queue == "embed":
            statement = select(shards.c.token).where(shards.c.state == "queued", shards.c.lease_until > clock())
        else:
            statement = select(index_versions.c.applier_token).where(
                index_versions.c.applier_lease_until > clock()
            )
        with self.cluster.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def _tokens(self) -> dict[str, int]:
        """Tokens of what is held now, by what it is of."""
        if self.queue == "embed":
            statement = select(shards.c.shard_id, shards.c.token).where(
                shards.c.state == "queued", shards.c.lease_until > clock()
            )
        else:
            statement = select(index_versions.c.index_version_id, index_versions.c.applier_token).where(
                index_versions.c.applier_lease_until > clock()
            )
        with self.cluster.database.read() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(statement)}

    def _taken_over(self, before: dict[str, int]) -> bool:
        """Whether another worker has taken one of these leases since."""
        if self.queue == "embed":
            statement = select(shards.c.shard_id, shards.c.token)
        else:
            statement = select(index_versions.c.index_version_id, index_versions.c.applier_token)
        with self.cluster.database.read() as connection:
            now = {str(row[0]): int(row[1]) for row in connection.execute(statement)}
        return any(now.get(name, token) > token for name, token in before.items())

    def _blocks_the_catalog(self) -> bool:
        """Stopped inside a transaction on SQLite a worker stops every writer: no other could take over."""
        try:
            with self.cluster.database.write():
                return False
        except Unavailable:
            self.record.note("stopped inside a transaction: let go")
            return True

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        pause, deadline = threading.Event(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if condition():
                    return True
            except EmbedloopError as error:
                self.record.note(f"the catalog is away: {error}")
            pause.wait(LOOK_SECONDS)
        return False


def _resume(family: list[psutil.Process]) -> None:
    for process in family:
        try:
            process.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            # Killed meanwhile, by another step.
            continue
