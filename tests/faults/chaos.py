"""kill -9 at a random moment, and workers that are stopped in mid-write and come back when all has moved on."""

from __future__ import annotations

import queue
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil
from sqlalchemy import ColumnElement, Select, select

from embedloop.catalog import jobs, promotions
from embedloop.catalog.database import clock
from embedloop.catalog.tables import index_versions, placements, shards
from embedloop.errors import EmbedloopError, Unavailable
from embedloop.records.versions import IndexState
from tests.faults import record
from tests.faults.cluster import CORPUS, Cluster
from tests.faults.plan import Kill, Zombie
from tests.faults.record import Record
from tests.patience import eventually
from tests.servers import family_of

# How long a moment in mid-write is looked for, and how long another worker has to take over.
CATCH_SECONDS = 10.0
TAKE_OVER_SECONDS = 60.0
TRIES = 4
LOOK_SECONDS = 0.002
WORKERS = {"embed": ("embed-1", "embed-2"), "apply": ("apply", "apply-2")}
MOST_ATTACKED = 8


@dataclass
class Chaos:
    """Threads that kill and stop.

    Attributes:
        targets: Documents that a stopped worker is about to write: the driver writes to them meanwhile.
        wants_writes: Set while a worker is waited for to write, or is stopped.
    """

    cluster: Cluster
    record: Record
    seed: int
    targets: queue.SimpleQueue[list[str]] = field(default_factory=queue.SimpleQueue)
    wants_writes: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

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
        middle = self._under_way()
        # One that is just being restarted after another kill is waited for.
        eventually(lambda: self._killed(step.part), f"a {step.part} to kill")
        self.record.killed(step.part)
        self.record.count(f"kills during {middle}")

    def _under_way(self) -> str:
        """What a kill falls into the middle of, by the catalog."""
        try:
            with self.cluster.database.read() as connection:
                job = jobs.active(connection, CORPUS)
                moving = promotions.preparing(connection).get(CORPUS)
        except Unavailable:
            return "another outage"
        if moving is not None:
            return "a promotion"
        return "no move" if job is None else f"stage {job.stage}"

    def _killed(self, part: str) -> bool:
        try:
            self.cluster.kill(part)
        except (Unavailable, psutil.NoSuchProcess):
            return False
        return True

    def _stop(self, step: Kill | Zombie) -> None:
        assert isinstance(step, Zombie)
        for number in range(TRIES):
            one = _Stopped(self.cluster, self.record, step.queue, random.Random(self.seed + number))
            self.wants_writes.set()
            try:
                if one.try_once(self.targets):
                    self.record.count(f"zombies, {step.queue}")
                    return
            except (Unavailable, psutil.NoSuchProcess) as error:
                self.record.note(f"no zombie: {error}")
            finally:
                self.wants_writes.clear()
        self.record.count(f"zombies, {step.queue}, not caught in mid-write")


@dataclass
class _Stopped:
    """One try: both workers of a queue are stopped, one goes on, the other is a zombie if it held a lease."""

    cluster: Cluster
    record: Record
    worker: str
    chance: random.Random

    def try_once(self, targets: queue.SimpleQueue[list[str]]) -> bool:
        """Whether a worker lost its lease while it was stopped in mid-write; at the end both go on."""
        # Found first: between the moment in mid-write and the signal there is no time to look for processes.
        families = {part: family_of(self.cluster.pid(part)) for part in WORKERS[self.worker]}
        if not self._wait(self._is_writing, CATCH_SECONDS):
            return False
        try:
            for family in families.values():
                _signal(family, signal.SIGSTOP)
            if not self._is_writing() or self._blocks_the_catalog():
                return False
            held = self._tokens()
            targets.put(self._being_written())
            _signal(families.pop(self.chance.choice(WORKERS[self.worker])), signal.SIGCONT)
            if not self._wait(lambda: self._taken_over(held), TAKE_OVER_SECONDS):
                return False
            self.record.note(f"the {self.worker} worker lost its lease while it was stopped")
            return True
        finally:
            for family in families.values():
                _signal(family, signal.SIGCONT)

    def _is_writing(self) -> bool:
        """Whether rows are on their way: recorded before they are sent, and not yet as written."""
        return bool(self._being_written()) and bool(self._tokens())

    def _being_written(self) -> list[str]:
        building = self.worker == "embed"
        state = index_versions.c.state
        statement = (
            select(placements.c.document_id)
            .join(index_versions, index_versions.c.index_version_id == placements.c.index_version_id)
            .where(
                index_versions.c.corpus == CORPUS,
                state == IndexState.BUILDING.value if building else state != IndexState.BUILDING.value,
                ~placements.c.written,
            )
            .limit(MOST_ATTACKED)
        )
        with self.cluster.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def _tokens(self) -> dict[str, int]:
        """The leases that are held now: what they are of -> their fencing token."""
        name, token, until = self._lease()
        return self._read(select(name, token).where(until > clock()))

    def _taken_over(self, before: dict[str, int]) -> bool:
        """Whether another worker has taken one of these leases since."""
        name, token, _ = self._lease()
        now = self._read(select(name, token))
        return any(now.get(one, held) > held for one, held in before.items())

    def _lease(self) -> tuple[ColumnElement[Any], ColumnElement[int], ColumnElement[float]]:
        """What a lease of this queue is of, its token, and until when it is held."""
        if self.worker == "embed":
            return shards.c.shard_id, shards.c.token, shards.c.lease_until
        columns = index_versions.c
        return columns.index_version_id, columns.applier_token, columns.applier_lease_until

    def _read(self, statement: Select[Any]) -> dict[str, int]:
        with self.cluster.database.read() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(statement)}

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


def _signal(family: list[psutil.Process], number: signal.Signals) -> None:
    for process in family:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            # Killed meanwhile, by another step.
            continue
