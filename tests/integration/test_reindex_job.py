"""A reindex job through its stages, as the workers run them: real broker, Milvus and catalog, no Celery."""

from __future__ import annotations

import threading

import pytest
import redis
from sqlalchemy import update

from embedloop import jobs
from embedloop.applier import following
from embedloop.catalog import corpora, promotions, shards
from embedloop.catalog.database import Database
from embedloop.catalog.tables import shards as shards_table
from embedloop.errors import PromotionRefused, Unavailable
from embedloop.orders import Order, give
from embedloop.policy import Policy
from embedloop.promotion import alias_of
from embedloop.records.jobs import Job, JobState
from embedloop.records.versions import IndexState, ModelVersion
from embedloop.reembed import MAX_SHARD_ATTEMPTS
from tests.integration.bench import Bench
from tests.integration.conftest import CHUNKING, LEASE, TEXTS, ProcessGone, preparing
from tests.patience import eventually
from tests.servers import Server
from workers import embed_shard as shard_task
from workers import promote as promote_stage
from workers import reembed as reembed_stages
from workers import upkeep
from workers.parts import Parts


def test_a_job_builds_verifies_and_promotes_the_first_version(bench: Bench, tiny: ModelVersion) -> None:
    job = bench.finish(bench.submit(model_version=tiny.model_id))
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.result is not None
    assert job.result["promoted"] is True
    corpus = bench.world.corpus()
    assert corpus.serving == job.result["index_version"]
    version = bench.world.version(corpus.serving)
    assert bench.world.index.alias_target(alias_of(corpus.name)) == version.collection
    assert bench.world.documents(bench.world.view(version)) == set(TEXTS)


def test_a_job_that_shall_not_promote_leaves_a_ready_version(bench: Bench, tiny: ModelVersion) -> None:
    job = bench.finish(bench.submit(model_version=tiny.model_id, promote=False))
    assert job.result is not None
    assert job.result["promoted"] is False
    assert bench.world.version(job.result["index_version"]).state is IndexState.READY
    assert bench.world.corpus().serving is None


def test_a_model_that_has_not_passed_the_gate_is_refused_before_the_work(
    bench: Bench, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    bench.finish(bench.submit(model_version=tiny.model_id))
    job = bench.run(bench.submit(model_version=other_tiny.model_id))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error["code"], job.error["field"]) == ("promotion_refused", "params.model_version")


def test_a_build_that_was_killed_is_built_anew_and_the_torn_one_retired(
    bench: Bench, tiny: ModelVersion
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "build")

    def killed(parts: Parts, job: Job, lease: jobs.Lease) -> jobs.Outcome:
        reembed_stages.build(parts, job, lease)
        raise ProcessGone

    with pytest.raises(ProcessGone):
        bench.run(job_id, killed)
    bench.expire(job_id)
    job = bench.finish(job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert sorted(v.state for v in bench.versions()) == [IndexState.RETIRED, IndexState.SERVING]


def test_a_promote_that_was_killed_after_it_published_ends_well(bench: Bench, tiny: ModelVersion) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "promote")

    def killed(parts: Parts, job: Job, lease: jobs.Lease) -> jobs.Outcome:
        promote_stage.promote(parts, job, lease)
        raise ProcessGone

    with pytest.raises(ProcessGone):
        bench.run(job_id, killed)
    bench.expire(job_id)
    job = bench.run(job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    assert job.result["promoted"] is True


def test_a_promote_that_was_killed_while_it_prepared_is_taken_over_at_once(
    bench: Bench, tiny: ModelVersion
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    candidate = bench.run_until(job_id, "promote").checkpoint["index_version"]

    def killed(parts: Parts, job: Job, lease: jobs.Lease) -> jobs.Outcome:
        with parts.database.write() as connection:
            promotions.open_promotion(
                connection,
                promotion_id="p-dead",
                corpus=job.corpus,
                candidate=candidate,
                replaces=None,
                token=corpora.next_promotion_token(connection, job.corpus),
                timeout_seconds=3600,
                actor=f"job {job.job_id}",
            )
        raise ProcessGone

    with pytest.raises(ProcessGone):
        bench.run(job_id, killed)
    bench.expire(job_id)
    job = bench.run(job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    assert bench.world.corpus().serving == candidate
    with (
        bench.world.database.write() as connection,
        pytest.raises(PromotionRefused, match="another worker took the job over"),
    ):
        promotions.publish(connection, "p-dead")


def test_a_job_cancelled_while_its_promotion_waits_for_a_replica_calls_it_off(
    bench: Bench, tiny: ModelVersion
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "promote")
    with bench.world.database.write() as connection:
        promotions.hold(connection, "r-1", bench.world.name, serving=None, prepared=None, lease_seconds=300)
    running = threading.Thread(target=bench.run, args=(job_id,))
    running.start()
    eventually(lambda: preparing(bench.world) is not None, "the promotion prepares")
    with bench.world.database.write() as connection:
        give(connection, job_id, Order.CANCEL)
    running.join(60)
    assert bench.job(job_id).state is JobState.CANCELLED
    assert preparing(bench.world) is None
    assert bench.world.corpus().serving is None


def test_an_applier_at_work_makes_the_verification_wait_without_using_an_attempt(
    bench: Bench, tiny: ModelVersion
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    job = bench.run_until(job_id, "verify")
    view = bench.world.view(bench.world.version(job.checkpoint["index_version"]))
    with following(view, lease_seconds=LEASE) as holder:
        assert holder is not None
        for _ in range(jobs.MAX_STAGE_ATTEMPTS + 1):
            waiting = bench.run(job_id)
            assert (waiting.state, waiting.stage, waiting.attempts) == (JobState.RUNNING, "verify", 0)
    assert bench.run(job_id).stage == "difference"


def test_a_cancelled_job_retires_what_it_was_building_and_its_shards_stop(
    bench: Bench, tiny: ModelVersion
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    with bench.world.database.write() as connection:
        give(connection, job_id, Order.CANCEL)
    job = bench.run(job_id)
    assert job.state is JobState.CANCELLED
    (version,) = bench.versions()
    assert version.state is IndexState.RETIRED
    bench.embed_shards(job_id)
    assert bench.world.rows(bench.world.view(version)) == []


def test_a_shard_that_kills_every_worker_fails_the_job_in_the_end(bench: Bench, tiny: ModelVersion) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    deadly, *_ = bench.shard_ids(job_id)
    with bench.world.database.write() as connection:
        for _ in range(MAX_SHARD_ATTEMPTS):
            assert shards.claim(connection, deadly, -1) is not None
    shard_task.embed_shard(bench.parts, deadly)
    job = bench.run(job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "never ended" in job.error["message"]
    assert [v.state for v in bench.versions()] == [IndexState.RETIRED]


def test_the_reconciler_drops_a_collection_only_when_nobody_can_hold_it(
    bench: Bench, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = bench.world
    monkeypatch.setattr(upkeep, "LONGEST_REQUEST_SECONDS", -1.5)
    with world.database.write() as connection:
        corpora.set_policy(connection, world.name, Policy(chunking=CHUNKING, rollback_window_seconds=0))
    first = bench.finish(bench.submit(model_version=tiny.model_id)).checkpoint["index_version"]
    second = bench.finish(bench.submit(model_version=tiny.model_id)).checkpoint["index_version"]
    with world.database.write() as connection:
        promotions.hold(connection, "r-1", world.name, serving=first, prepared=None, lease_seconds=300)
    upkeep.reconcile(bench.parts)
    assert world.version(first).state is IndexState.RETIRED
    assert world.index.exists(world.version(first).collection)
    with world.database.write() as connection:
        promotions.leave(connection, "r-1")
    upkeep.reconcile(bench.parts)
    assert not world.index.exists(world.version(first).collection)
    assert world.index.exists(world.version(second).collection)
    assert world.corpus().serving == second
    upkeep.reconcile(bench.parts)


def test_a_standby_stays_for_the_rollback_window(bench: Bench, tiny: ModelVersion) -> None:
    first = bench.finish(bench.submit(model_version=tiny.model_id)).checkpoint["index_version"]
    bench.finish(bench.submit(model_version=tiny.model_id))
    upkeep.reconcile(bench.parts)
    assert bench.world.version(first).state is IndexState.STANDBY
    assert bench.world.rollback().serving == first


def test_the_reaper_wakes_the_appliers_that_lag(bench: Bench, tiny: ModelVersion) -> None:
    job = bench.finish(bench.submit(model_version=tiny.model_id))
    identity = job.checkpoint["index_version"]
    database: Database = bench.world.database
    with database.read() as connection:
        assert upkeep._lagging(connection) == []
    bench.world.put({"new": "fever"})
    with database.read() as connection:
        assert upkeep._lagging(connection) == [identity]
    upkeep.reap(bench.parts)
    bench.world.apply(bench.world.view(bench.world.version(identity)))
    with database.read() as connection:
        assert upkeep._lagging(connection) == []


def test_a_milvus_that_is_away_for_a_while_fails_no_shard(
    bench: Bench, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    monkeypatch.setattr(shard_task, "OUTAGE_SECONDS", -1.0)

    def away(*_arguments: object) -> None:
        raise Unavailable("Milvus does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(bench.parts.index, "upsert", away)
        for _ in range(MAX_SHARD_ATTEMPTS + 1):
            bench.embed_shards(job_id)
            assert bench.run(job_id).state is JobState.RUNNING
    job = bench.finish(job_id)
    assert job.state is JobState.SUCCEEDED, job.error


@pytest.mark.parametrize("someone_works", [False, True])
def test_shards_whose_messages_died_with_a_worker_are_sent_again_when_nobody_is_at_work(
    bench: Bench, tiny: ModelVersion, valkey_server: Server, someone_works: bool
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "embed")
    with redis.Redis(port=valkey_server.port, db=3) as broker:
        broker.delete("embed")
        bench.run(job_id)
        assert broker.llen("embed") == len(bench.shard_ids(job_id))
        # A killed worker took them along, and a minute passed.
        broker.delete("embed")
        with bench.world.database.write() as connection:
            connection.execute(update(shards_table).values(sent_at=shards_table.c.sent_at - 60))
            if someone_works:
                assert shards.claim(connection, bench.shard_ids(job_id)[0], LEASE) is not None
        bench.run(job_id)
        assert broker.llen("embed") == (0 if someone_works else len(bench.shard_ids(job_id)))
