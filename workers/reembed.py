"""Stages `prepare`, `build`, `embed` and `verify` of a re-embed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from embedloop import applier, reembed, verification
from embedloop.catalog import corpora, index_versions, models, shards
from embedloop.errors import PromotionRefused, Unavailable, VerificationFailed
from embedloop.jobs import Advance, Lease, Outcome, Wait
from embedloop.policy import Chunking
from embedloop.queue import EMBED_SHARD, queue_of
from embedloop.records.jobs import Job
from embedloop.records.versions import IndexState, IndexVersion
from workers.bases import register_base
from workers.parts import Parts

log = logging.getLogger(__name__)

SHARD_RESEND_SECONDS = 300.0


def prepare(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Settles which model version the re-embed is for; the first one of a corpus is its untrained base."""
    with parts.database.read() as connection:
        corpus = corpora.get(connection, job.corpus)
        serving = None if corpus.serving is None else index_versions.get(connection, corpus.serving)
        asked = job.params.get("model_version")
        if asked is not None and serving is not None and job.params.get("promote", True):
            passed = asked == serving.model_id or models.passed_gate(connection, corpus.name, asked)
            if not passed:
                raise PromotionRefused(
                    f"model version {asked} has not passed the gate on corpus {corpus.name!r}; "
                    "re-embed with promote false, or run a cycle",
                    field="params.model_version",
                )
    if asked is not None:
        return Advance({"model_version": parts.model(asked).model_id})
    if serving is not None:
        return Advance({"model_version": serving.model_id})
    return Advance({"model_version": register_base(parts, corpus.policy).model_id})


def build(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Writes the building version with its shards and creates its collection."""
    model = parts.model(job.checkpoint["model_version"])
    with parts.database.write() as connection:
        corpus = corpora.get(connection, job.corpus)
        # One job at a time works on a corpus: a building version is this job's own, from before a crash.
        for version in index_versions.of_corpus(connection, corpus.name):
            if version.state is IndexState.BUILDING:
                reembed.retire(connection, version.index_version_id)
        chunking = job.params.get("chunking")
        version = reembed.plan(
            connection,
            corpus=corpus.name,
            model=model,
            chunking=corpus.policy.chunking if chunking is None else Chunking.model_validate(chunking),
            index=corpus.policy.index,
            job_id=job.job_id,
            shard_chars=parts.settings.shard_chars,
            shard_documents=parts.settings.shard_documents,
        )
    parts.index.create(version.collection, model.dimension, version.index)
    return Advance({"index_version": version.index_version_id})


def embed(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Sends the shards that wait and looks whether all are done; nobody is kept busy by waiting."""
    identity = job.checkpoint["index_version"]
    lost_after = _lost_after(parts, identity)
    with parts.database.write() as connection:
        unsent = shards.take_unsent(connection, identity, lost_after)
        counts = shards.counts(connection, identity)
        errors = shards.errors(connection, identity)
    if errors:
        raise VerificationFailed(f"{len(errors)} shards could not be embedded: {'; '.join(errors[:3])}")
    _send(parts, unsent)
    if counts.done < counts.total:
        return Wait(counts.done / counts.total)
    reembed.finish_backfill(parts.database, identity)
    return Advance()


def _lost_after(parts: Parts, index_version_id: str) -> float:
    """Seconds after which a shard that was sent and never claimed is held for lost.

    A worker that was killed may have taken its message along. That is known when the queue is empty and nobody
    is at work; before, such a shard may just be waiting for its turn.
    """
    with parts.database.read() as connection:
        if shards.is_at_work(connection, index_version_id):
            return SHARD_RESEND_SECONDS
    try:
        waiting = parts.queue.waiting(queue_of(EMBED_SHARD, ()))
    except Unavailable as error:
        log.warning("shards that may be lost are not looked for: %s", error)
        return SHARD_RESEND_SECONDS
    return SHARD_RESEND_SECONDS if waiting else parts.settings.job_lease_seconds


def _send(parts: Parts, shard_ids: Sequence[int]) -> None:
    """Sends shards; what the broker did not take is unsent again and not held for lost in the broker."""
    for position, shard_id in enumerate(shard_ids):
        try:
            parts.queue.send(EMBED_SHARD, shard_id)
        except Unavailable:
            with parts.database.write() as connection:
                shards.put_back_unsent(connection, shard_ids[position:])
            raise


def verify(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Catches up with the log, sweeps, seals, and compares the new version with the catalog."""
    identity = job.checkpoint["index_version"]
    with parts.database.read() as connection:
        version = index_versions.get(connection, identity)
    if version.state is IndexState.READY:
        return Advance()
    view = parts.view(version, check=lease.check)
    # The lease keeps the applier away: what is counted stands still.
    with applier.following(view, lease_seconds=parts.settings.job_lease_seconds) as held:
        if held is None:
            # The applier is catching up, which may take long after a long embed: no attempt is used up.
            return Wait(0.0)
        held.catch_up()
        lease.progress(0.3)
        reembed.sweep(view)
        parts.index.seal(version.collection, while_waiting=lease.check)
        lease.progress(0.6)
        found = verification.verify(view, failures_allowed=_failures_of_serving(parts, version))
        held.renewal.check()
    with parts.database.write() as connection:
        index_versions.set_fields(connection, identity, verification=dict(found.as_json()))
        if found.passed:
            index_versions.set_fields(connection, identity, state=IndexState.READY.value)
        else:
            # The report stays with the version; its collection is collected.
            reembed.retire(connection, identity)
    verification.require(found, identity)
    return Advance({"verification": dict(found.as_json())})


def _failures_of_serving(parts: Parts, version: IndexVersion) -> list[str]:
    with parts.database.read() as connection:
        serving = corpora.get(connection, version.corpus).serving
        return [] if serving is None else list(index_versions.failures(connection, serving))
