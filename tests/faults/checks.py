"""What must hold once everything has come to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import select

from embedloop.catalog import documents as document_rows
from embedloop.catalog import label_tables, tables
from embedloop.client.results import SearchResult
from embedloop.errors import DeadlineExceeded, EmbedloopError, NotFound, Unavailable
from embedloop.promotion import alias_of
from embedloop.records.versions import IndexState
from tests.faults import record
from tests.faults.cluster import CORPUS, Cluster
from tests.faults.model import NUMBER, Documents, Ledger
from tests.faults.moves import OVERTAKEN
from tests.faults.oracle import Oracle
from tests.faults.record import Record
from tests.faults.steps import EVERYTHING, SESSION, Steps, ask
from tests.patience import PATIENCE_SECONDS, eventually

T = TypeVar("T")

IN_CHARGE = (IndexState.READY, IndexState.SERVING, IndexState.STANDBY)


@dataclass
class Checks:
    """Waits for rest, then compares the service with the dictionary."""

    cluster: Cluster
    documents: Documents
    ledger: Ledger
    oracle: Oracle
    record: Record
    steps: Steps
    _ended: set[str] = field(default_factory=set)

    def wait_for_parts(self) -> None:
        """Every process runs and both replicas are ready."""
        eventually(self._are_up, "every part to be up and both replicas ready")

    def wait_for_level(self) -> None:
        """Every version that follows the log has passed it."""
        eventually(self._is_level, "every index version to be level with the log")

    def compare(self) -> None:
        """Everything acknowledged is there, and the parts agree with each other."""
        self._check_jobs()
        self._check_serving()
        self._check_documents()
        for replica in range(len(self.cluster.clients)):
            self._check_search(replica)
        self._check_feedback()
        self._check_index()

    def compare_rows(self) -> None:
        """At the end: each collection holds exactly the live rows, once what came late has been swept."""
        self._hold(self._rows_agree, "collections hold exactly the live rows")

    def compare_collections(self) -> None:
        """At the end of a long run: what no replica can hold any more has been dropped."""
        self._hold(self._is_collected, "what is retired has been dropped")

    def _are_up(self) -> bool:
        try:
            for part in self.cluster.parts:
                self.cluster.pid(part)
            return all(client.ready() for client in self.cluster.clients)
        except EmbedloopError as error:
            self.record.note(f"not up yet: {error.message}")
            return False

    def _is_level(self) -> bool:
        head = self.cluster.ask_catalog(lambda connection: document_rows.head(connection, CORPUS))
        return all(v.applied_seq >= head for v in self.cluster.versions() if v.state in IN_CHARGE)

    def _check_jobs(self) -> None:
        for job_id, params in self.ledger.jobs.items():
            if job_id in self._ended:
                continue
            try:
                job = self._answered(partial(self.cluster.clients[0].job, job_id))
            except NotFound:
                self.record.find(record.LOST_JOB, f"{job_id} {params}")
                continue
            self._ended.add(job_id)
            self._take_job(job)

    def _take_job(self, job: dict[str, Any]) -> None:
        if job["state"] == "succeeded":
            self.record.count("reembeds")
            if job["result"]["promoted"]:
                self.ledger.serving.begin()
                self.ledger.serving.acknowledge(job["result"]["index_version"])
                self.record.count("promotions by jobs")
            return
        if job["state"] == "failed" and job["error"]["code"] in OVERTAKEN and self.ledger.serving.begun:
            self.record.count("jobs overtaken by a promotion")
            return
        self.record.find(record.JOB_FAILED, f"{job['id']} {job['state']} at {job['stage']}: {job.get('error')}")

    def _check_serving(self) -> None:
        serving = self._answered(lambda: self.cluster.clients[1].corpus(CORPUS))["serving"]
        possible = self.ledger.serving.possible()
        if self.ledger.serving.before is not None and serving not in possible:
            self.record.find(record.DISAGREE, f"{serving} serves, possible were {possible}")
        self.ledger.serving.pin(serving)

    def _check_documents(self) -> None:
        for document_id in self.documents.ids():
            self._answered(partial(self._is_read, document_id))

    def _is_read(self, document_id: str) -> bool:
        errors = self.record.errors.total()
        self.steps.read(document_id)
        if self.record.errors.total() > errors:
            raise Unavailable(f"{document_id!r} cannot be read")
        return True

    def _check_search(self, replica: int) -> None:
        """One search that is large enough must show every live document, and nothing else."""
        answer = self._answered(lambda: self._found(replica))
        shown = {hit.document_id: hit.metadata.get(NUMBER) for hit in answer.results}
        live = self.documents.live()
        missing = {name: live[name] for name in live if shown.get(name) != live[name]}
        if missing:
            self.record.find(record.LOST_WRITE, f"not found by a search of replica {replica}: {missing}")

    def _found(self, replica: int) -> SearchResult:
        client = self.cluster.clients[replica]
        answer = ask(
            client, self.documents, self.oracle, self.record, "everything there is", EVERYTHING, SESSION
        )
        if answer is None or not answer.verified:
            raise Unavailable("no verified answer yet")
        if answer.index_version != self.ledger.serving.before:
            raise Unavailable(f"replica {replica} still answers from {answer.index_version}")
        return answer

    def _check_feedback(self) -> None:
        """Every acknowledged signal is stored, with its retrieval, which may have been spooled meanwhile."""
        self._hold(self._is_feedback_settled, "feedback is settled with its retrievals")
        missing = self.ledger.feedback - set(self._feedback())
        for feedback_id in sorted(missing):
            self.record.find(record.LOST_FEEDBACK, feedback_id)
            self.ledger.feedback.discard(feedback_id)

    def _is_feedback_settled(self) -> str | None:
        waiting = [name for name, pending in self._feedback().items() if pending]
        return f"{len(waiting)} wait, first {waiting[:3]}" if waiting else None

    def _feedback(self) -> dict[str, bool]:
        statement = select(label_tables.feedback.c.feedback_id, label_tables.feedback.c.pending)
        rows = self.cluster.ask_catalog(lambda connection: list(connection.execute(statement)))
        return {row.feedback_id: row.pending for row in rows}

    def _check_index(self) -> None:
        for version in self.cluster.versions():
            verified = version.verification is not None and version.verification["passed"]
            if version.state in IN_CHARGE and not verified:
                self.record.find(record.DISAGREE, f"{version.index_version_id} {version.state} is not verified")
        self._hold(self._alias_agrees, "alias and catalog agree")
        self._hold(self._collections_agree, "collections and catalog agree")

    def _alias_agrees(self) -> str | None:
        serving = [v.collection for v in self.cluster.versions() if v.state is IndexState.SERVING]
        target = self.cluster.index.alias_target(alias_of(CORPUS))
        if serving == [target]:
            return None
        return f"the alias is on {target}, the catalog says {serving}"

    def _collections_agree(self) -> str | None:
        """Each version in charge has its collection, and no collection is without a version."""
        versions = self.cluster.versions()
        there = set(self.cluster.index.collections())
        wanted = {v.collection for v in versions if v.state in IN_CHARGE}
        may_be = wanted | self._not_dropped()
        if wanted <= there <= may_be:
            return None
        return f"missing {sorted(wanted - there)}, orphans {sorted(there - may_be)}"

    def _not_dropped(self) -> set[str]:
        columns = tables.index_versions.c
        statement = select(columns.collection).where(columns.dropped_at.is_(None))
        return self.cluster.ask_catalog(lambda connection: set(connection.execute(statement).scalars()))

    def _is_collected(self) -> str | None:
        versions = self.cluster.versions()
        there = set(self.cluster.index.collections())
        kept = {v.collection for v in versions if v.state in IN_CHARGE}
        return f"{sorted(there - kept)} are still there" if there - kept else None

    def _rows_agree(self) -> str | None:
        ids = self.cluster.ask_catalog(lambda connection: document_rows.live_ids(connection, CORPUS))
        revs = self.cluster.ask_catalog(lambda connection: document_rows.live_revs(connection, CORPUS, ids))
        live = set(revs.items())
        for version in self.cluster.versions():
            if version.state not in IN_CHARGE:
                continue
            pages = self.cluster.index.scan(version.collection)
            rows = {(row.document_id, row.rev) for page in pages for row in page}
            if rows != live:
                return f"{version.index_version_id}: {sorted(rows ^ live)[:5]} differ"
        return None

    def _hold(self, fault: Callable[[], str | None], what: str) -> None:
        """Something must become true by itself; otherwise it is found, with what was seen last."""
        seen = ""

        def holds() -> bool:
            nonlocal seen
            try:
                seen = fault() or ""
            except (Unavailable, DeadlineExceeded) as error:
                seen = error.message
            return not seen

        try:
            eventually(holds, what)
        except AssertionError:
            self.record.find(record.DISAGREE, f"not true after {PATIENCE_SECONDS:g} s: {what}: {seen}")

    def _answered(self, call: Callable[[], T]) -> T:
        """What a call answers once the parts are back."""
        answers: list[T] = []

        def done() -> bool:
            try:
                answers.append(call())
            except NotFound:
                raise
            except EmbedloopError as error:
                self.record.note(f"asked again: {error.message}")
                return False
            return True

        eventually(done, "an answer")
        return answers[-1]
