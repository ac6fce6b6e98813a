"""What runs by the clock: the reaper, the feedback trigger, the reconciler with garbage, late removals."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import Connection

import embedloop.feedback as feedback_rules
from embedloop import garbage, promotion, reembed, removal
from embedloop import jobs as job_rules
from embedloop.catalog import corpora, documents, feedback, index_versions, jobs, promotions
from embedloop.catalog.database import now
from embedloop.errors import EmbedloopError
from embedloop.queue import RUN_STAGE, deliver
from embedloop.records.documents import Corpus
from embedloop.records.jobs import JobKind
from embedloop.records.versions import IndexState, IndexVersion
from workers.parts import Parts

log = logging.getLogger(__name__)

NUDGE_SECONDS = 5.0
OUTBOX_SECONDS = 2.0
LONGEST_REQUEST_SECONDS = 60.0


def reap(parts: Parts) -> None:
    """Sends again what was lost: letters, stages whose worker died, appliers that have changes to apply."""
    with parts.database.write() as connection:
        letters = jobs.take_unsent(connection, OUTBOX_SECONDS)
        nudged = jobs.nudge(connection, NUDGE_SECONDS)
        promotions.call_off_expired(connection)
        promotions.forget_expired(connection)
        lagging = _lagging(connection)
    deliver(parts.database, parts.queue, letters)
    for job_id, stage in nudged:
        parts.queue.wake(RUN_STAGE, job_id, stage)
    for index_version_id in lagging:
        parts.queue.wake_applier(index_version_id)
    feedback_rules.settle_pending(parts.database)


def check_triggers(parts: Parts) -> None:
    """Starts a cycle for each corpus with enough new feedback and nothing else at work."""
    with parts.database.read() as connection:
        every = corpora.every(connection)
    for corpus in every:
        if _is_due(parts, corpus):
            log.info("enough new feedback on corpus %s: a cycle starts", corpus.name)
            with parts.database.write() as connection:
                if jobs.active(connection, corpus.name) is not None:
                    continue
                _, letters = job_rules.submit(connection, JobKind.CYCLE, corpus.name, {"trigger": "feedback"})
            deliver(parts.database, parts.queue, letters)


def reconcile(parts: Parts) -> None:
    """Makes the aliases follow the catalog, retires versions out of their window, drops what nobody holds."""
    with parts.database.read() as connection:
        every = corpora.every(connection)
    for corpus in every:
        try:
            _reconcile(parts, corpus)
        except EmbedloopError as error:
            log.warning("corpus %s could not be reconciled: %s", corpus.name, error)
    try:
        garbage.note_orphans(parts.database, parts.index, after_seconds=parts.settings.orphan_seconds)
        garbage.drop_due(parts.database, parts.index)
    except EmbedloopError as error:
        log.warning("garbage waits for the next time: %s", error)


def settle_removals(parts: Parts) -> None:
    """Completes removals of people's and documents' data, also those whose process died."""
    settled = removal.settle(parts.database)
    if settled:
        log.info("settled the removals %s", settled)


def sweep(parts: Parts) -> None:
    """Deletes rows that a worker wrote late, after its lease was gone, from every version that follows."""
    with parts.database.read() as connection:
        following = [v for c in corpora.every(connection) for v in index_versions.followers(connection, c.name)]
    for version in following:
        try:
            swept = reembed.sweep(parts.view(version))
        except EmbedloopError as error:
            log.warning("index version %s could not be swept: %s", version.index_version_id, error)
        else:
            log.info("%d rows swept from index version %s", swept, version.index_version_id)


def _reconcile(parts: Parts, corpus: Corpus) -> None:
    promotion.reassert_alias(parts.database, parts.index, corpus.name)
    with parts.database.write() as connection:
        # Read again, for a promotion may have moved it since.
        for version in _out_of_window(connection, corpora.get(connection, corpus.name, lock=True)):
            reembed.retire(connection, version.index_version_id)
        doomed = _droppable(connection, corpus.name, parts.settings.replica_lease_seconds)
    for version in doomed:
        if not _drop_retired(parts, version):
            continue
        with parts.database.write() as connection:
            index_versions.mark_dropped(connection, version.index_version_id)
        log.info("dropped the collection of index version %s", version.index_version_id)


def _drop_retired(parts: Parts, version: IndexVersion) -> bool:
    gone = not parts.index.exists(version.collection)
    return gone or garbage.drop_unless_aliased(parts.index, version.collection)


def _lagging(connection: Connection) -> list[str]:
    found = []
    for corpus in corpora.every(connection):
        head = documents.head(connection, corpus.name)
        for version in index_versions.followers(connection, corpus.name):
            if version.applied_seq < head:
                found.append(version.index_version_id)
    return found


def _is_due(parts: Parts, corpus: Corpus) -> bool:
    threshold = corpus.policy.trigger.new_feedback
    if threshold is None or corpus.serving is None:
        return False
    with parts.database.read() as connection:
        since = corpora.feedback_watermark(connection, corpus.name)
        if feedback.count_since(connection, corpus.name, since) < threshold:
            return False
        if jobs.active(connection, corpus.name) is not None:
            return False
    if not corpus.policy.training.needs_judgments:
        # How many pairs the other sources give, the job finds.
        return True
    return feedback_rules.count_training_pairs(parts.database, corpus.name) >= corpus.policy.trigger.min_pairs


def _out_of_window(connection: Connection, corpus: Corpus) -> list[IndexVersion]:
    """Standby versions that a rollback cannot reach any more."""
    if corpus.serving is None:
        return []
    taken_over = index_versions.get(connection, corpus.serving).served_at
    window = timedelta(seconds=corpus.policy.rollback_window_seconds)
    in_window = taken_over is not None and now() < taken_over + window
    return [
        version
        for version in index_versions.of_corpus(connection, corpus.name)
        if version.state is IndexState.STANDBY
        and not (in_window and version.index_version_id == corpus.previous)
    ]


def _droppable(connection: Connection, corpus: str, lease_seconds: float) -> list[IndexVersion]:
    """Retired versions that no replica can hold any more and no request can still be reading."""
    held = {name for r in promotions.holders(connection, corpus) for name in (r.serving, r.prepared)}
    quiet = timedelta(seconds=lease_seconds + LONGEST_REQUEST_SECONDS)
    return [
        version
        for version in index_versions.retired(connection, corpus)
        if version.index_version_id not in held
        and (version.served_at is None or (version.retired_at or now()) + quiet < now())
    ]
