"""Re-embeds, promotions and rollbacks: what moves a corpus, in threads beside the light steps."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from embedloop.client import Client
from embedloop.errors import Conflict, EmbedloopError, PromotionRefused
from embedloop.records.jobs import JobState
from tests.faults import record
from tests.faults.cluster import CORPUS, NARROW, WIDE, Cluster
from tests.faults.model import Ledger
from tests.faults.plan import Promote, Reembed, Rollback
from tests.faults.record import Record
from tests.patience import eventually

# Why a promotion or a job may end without moving: another move of the same round came in between.
OVERTAKEN = (Conflict.code, PromotionRefused.code)


@dataclass
class Moves:
    """Starts what moves the corpus and remembers how each ended."""

    cluster: Cluster
    ledger: Ledger
    record: Record
    run_id: str
    _numbers: count[int] = field(default_factory=count)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, step: Reembed | Promote | Rollback) -> None:
        self.record.note(str(step))
        if isinstance(step, Reembed):
            self._submit(f"{self.run_id}-{next(self._numbers)}", self._params(step))
            return
        self.ledger.serving.begin()
        thread = threading.Thread(target=self._move, args=(step,), name=type(step).__name__)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Waits for the calls under way, then for every job; jobs in doubt are asked for again first."""
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        for key, params in list(self.ledger.jobs_in_doubt.items()):
            self._submit(key, params, again=True)
        eventually(self._is_idle, "the jobs to end")

    def is_busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _params(self, step: Reembed) -> dict[str, Any]:
        chunking = NARROW if step.narrow else WIDE
        return {
            "model_version": self.cluster.model_ids[step.model],
            "chunking": chunking.model_dump(),
            "promote": step.promote,
        }

    def _submit(self, key: str, params: Mapping[str, Any], *, again: bool = False) -> None:
        """The same key never starts a second job, so that a lost acknowledgement may be asked for again."""
        try:
            job = self.cluster.clients[0].submit_job("reindex", CORPUS, params, key)
        except Conflict as error:
            # Another job is at work, which is an answer too.
            self.record.note(f"job {key}: {error.message}")
            self.record.count("jobs refused beside another")
            self.ledger.jobs_in_doubt.pop(key, None)
        except EmbedloopError as error:
            self.record.failed(f"job {key}", error)
            self.ledger.jobs_in_doubt[key] = params
            if again:
                raise
        else:
            self.ledger.jobs_in_doubt.pop(key, None)
            self.ledger.jobs[job["id"]] = params
            self.record.count("jobs")

    def _is_idle(self) -> bool:
        try:
            return not [
                job
                for state in (JobState.QUEUED, JobState.RUNNING)
                for job in self.cluster.clients[0].jobs(CORPUS, state.value)
            ]
        except EmbedloopError as error:
            self.record.failed("jobs", error)
            return False

    def _move(self, step: Promote | Rollback) -> None:
        name = type(step).__name__.lower()
        with self.cluster.client(1) as client:
            try:
                eventually(self._is_idle, "the jobs to end")
                target = eventually(lambda: self._targets(client, step), "the versions")[0]
                self._call(client, name, target)
            except AssertionError as error:
                self.record.find(record.DISAGREE, f"{name}: {error}")

    def _call(self, client: Client, name: str, target: str | None) -> None:
        serving = self.ledger.serving
        if target is None:
            self.record.count(f"{name} without a target")
            serving.refuse()
            return
        self.record.note(f"{name} to {target}")
        try:
            moved = client.promote(CORPUS, target) if name == "promote" else client.rollback(CORPUS)
        except (Conflict, PromotionRefused) as error:
            self.record.note(f"{name} to {target}: {error.code}: {error.message}")
            self.record.count(f"{name} refused")
            # It may have been carried out by an answer that was lost, or be refused by a kill.
            serving.doubt([target])
        except EmbedloopError as error:
            self.record.failed(f"{name} to {target}", error)
            serving.doubt([target])
        else:
            serving.acknowledge(moved["serving"])
            self.record.count(f"{name}s")

    def _targets(self, client: Client, step: Promote | Rollback) -> list[str | None]:
        """One entry when the service answers: where the step goes, or None when there is no such version."""
        try:
            if isinstance(step, Rollback):
                return [client.corpus(CORPUS)["previous"]]
            versions = client.index_versions(CORPUS)
        except EmbedloopError as error:
            self.record.failed("versions", error)
            return []
        wanted = [v["id"] for state in ("ready", "standby") for v in versions if v["state"] == state]
        return [next(iter(wanted), None)]
