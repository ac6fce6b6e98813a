"""Stage `promote`: the verified version takes over, or stays ready when nobody wants it to."""

from __future__ import annotations

from embedloop import promotion
from embedloop.catalog import corpora, promotions
from embedloop.jobs import Advance, Lease, Outcome
from embedloop.records.jobs import Job
from workers.parts import Parts


def promote(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Promotes the job's index version unless its params say `promote: false`."""
    candidate = job.checkpoint["index_version"]
    if not job.params.get("promote", True):
        return Advance({"promoted": False})
    actor = f"job {job.job_id}"
    with parts.database.write() as connection:
        # The lease makes this worker the job's only one: what still prepares was left by one that is gone.
        promotions.call_off_of(connection, job.corpus, actor, "another worker took the job over")
        serving = corpora.get(connection, job.corpus).serving
    if serving == candidate:
        # The worker died between publishing and telling: only the derived alias may be behind.
        promotion.reassert_alias(parts.database, parts.index, job.corpus)
    else:
        promotion.promote(
            parts.database,
            parts.index,
            job.corpus,
            candidate,
            actor=actor,
            timeout_seconds=parts.settings.promotion_timeout_seconds,
            check=lease.check,
        )
    return Advance({"promoted": True})
