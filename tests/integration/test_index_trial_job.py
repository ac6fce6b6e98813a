"""A trial of index settings over a corpus on a real index: what it tells, and what it leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from embedloop import garbage, jobs
from embedloop.catalog import corpora, feedback
from embedloop.catalog import garbage as garbage_rows
from embedloop.catalog.database import now
from embedloop.errors import InvalidInput, JobCancelled
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.index_candidates import candidates, name_of, proposal
from embedloop.index_trial import measured
from embedloop.jobs import Lease, Outcome
from embedloop.milvus_errors import translated
from embedloop.orders import Order
from embedloop.policy import IndexSettings
from embedloop.records.feedback import Retrieval
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.records.labels import Split
from embedloop.records.versions import ModelVersion
from tests.integration.bench import Bench
from tests.integration.conftest import FaultyIndex, ProcessGone
from workers import upkeep
from workers.index_trial import index_trial
from workers.parts import Parts
from workers.trial_sample import Drawn, drawn

DOCUMENTS = 40
PARAMS = {"rows": 1000, "queries": 12}


@pytest.fixture
def served(bench: Bench, tiny: ModelVersion) -> Iterator[Bench]:
    bench.world.put({f"n{n:02}": f"condition number{n} of the body" for n in range(DOCUMENTS)})
    bench.finish(bench.submit(model_version=tiny.model_id))
    yield bench
    assert trials(bench) == []


def trials(bench: Bench) -> list[str]:
    """The scratch collections of this corpus that Milvus holds."""
    with bench.world.database.write() as connection:
        prefix = garbage_rows.own_prefix(connection)
    begin = f"{prefix}{bench.world.name.replace('-', '_')}_trial_"
    return [name for name in bench.world.index.collections() if name.startswith(begin)]


def order(bench: Bench, **changed: int) -> str:
    return bench.submit(JobKind.INDEX_TRIAL, **{**PARAMS, **changed})


def run(bench: Bench, job_id: str) -> Job:
    return bench.run(job_id, index_trial)


def ask(bench: Bench, *queries: str) -> None:
    version = bench.versions()[0]
    logged = [
        Retrieval(f"r{n}", bench.world.name, query, "p", version.index_version_id, version.model_id, (), now())
        for n, query in enumerate(queries)
    ]
    with bench.world.database.write() as connection:
        feedback.log_retrievals(connection, logged)


def test_a_trial_tells_a_row_for_each_candidate_and_changes_nothing(served: Bench) -> None:
    before = served.world.corpus()
    job = run(served, order(served))
    assert job.state is JobState.SUCCEEDED, job.error
    result = dict(job.result or {})
    rows = result["candidates"]
    own = before.policy.index
    assert [row["name"] for row in rows] == [name_of(one) for one in candidates(own)]
    tried = {row["name"]: row for row in rows if "refused" not in row}
    assert set(tried) == {f"float32/{kind}" for kind in ("HNSW", "FLAT", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8")}
    assert tried["float32/FLAT"]["recall_at_10"] == 1.0
    assert min(row["recall_at_10"] for row in tried.values()) >= 0.9
    (bits,) = [row for row in rows if row["name"] == "binary/FLAT/16"]
    assert "Milvus Lite" in bits["refused"]
    assert "cannot do binary" in bits["refused"]
    said = proposal(rows)
    assert (result["proposed"], result["reason"]) == (said.index, said.reason)
    stored = served.world.rows(served.world.view(served.versions()[0]))
    assert result["rows"] == result["passages"] == len(stored)
    assert "passages are few" in result["notes"][0]
    assert result["dimension"] == 32
    assert served.world.corpus() == before


def test_queries_are_those_asked_then_judged_then_titles(served: Bench) -> None:
    ask(served, "epistaxis", "number3", "Epistaxis ")
    lines = [ImportedJudgment(f"what is number{n}", f"n{n:02}", 1, Split.GOLDEN) for n in range(4)]
    assert import_judgments(served.world.database, served.world.corpus(), lines) == [None] * 4
    job = run(served, order(served))
    assert (job.result or {})["queries"] == {"asked": 2, "judged": 4, "titles": 6}


def sampled(bench: Bench, rows: int, check: Callable[[Drawn], None]) -> None:
    """Draws within a job, whose lease it asks."""

    def body(parts: Parts, job: Job, lease: Lease) -> Outcome:
        with drawn(parts, bench.world.corpus(), bench.versions()[0], rows, 10, lease) as found:
            check(found)
        return jobs.End(JobState.SUCCEEDED, {})

    job = bench.run(order(bench), body)
    assert job.state is JobState.SUCCEEDED, job.error


def test_a_sample_is_spread_over_the_corpus_with_the_stored_numbers(served: Bench) -> None:
    def check(found: Drawn) -> None:
        sample = found.sample
        assert len(sample.keys) == len(sample.vectors) == 20
        passages = sample.read(0, 20)
        assert [passage.passage_id for passage in passages] == list(sample.keys)
        assert sample.read(7, 9) == passages[7:9]
        ids = [passage.document_id for passage in passages]
        assert ids[0] <= "n05" < ids[10] < "n39" < ids[-1]
        stored = served.world.index.vectors(served.versions()[0].collection, sample.keys)
        for key, vector in zip(sample.keys, sample.vectors, strict=True):
            np.testing.assert_array_equal(stored[key], vector)

    sampled(served, 20, check)


def dies_in(index_type: str, error: BaseException) -> Callable[..., dict[str, Any]]:
    """Measures as ever, but for one candidate: half filled, it ends in this error."""

    def end(fraction: float) -> None:
        if fraction > 0:
            raise error

    def measure(index: Any, collection: str, settings: IndexSettings, *rest: Any, **options: Any) -> Any:
        changed = options | {"progress": end} if settings.index_type == index_type else options
        return measured(index, collection, settings, *rest, **changed)

    return measure


def test_a_killed_trial_goes_on_after_what_it_had_measured_and_no_garbage_pass_disturbs_it(
    served: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = order(served)
    with monkeypatch.context() as killed:
        killed.setattr("workers.index_trial.measured", dies_in("FLAT", ProcessGone()))
        # Whoever is killed clears nothing up.
        killed.setattr("embedloop.index_trial._give_up", lambda *_: None)
        with pytest.raises(ProcessGone):
            run(served, job_id)
    left = trials(served)
    kept = served.job(job_id).checkpoint
    assert left == [kept["scratch"]]
    assert list(kept["rows"]) == ["float32/HNSW"]

    assert garbage.note_orphans(served.world.database, served.world.index, after_seconds=0) == []
    assert garbage.drop_due(served.world.database, served.world.index) == []
    assert trials(served) == left

    served.expire(job_id)
    job = run(served, job_id)
    assert job.state is JobState.SUCCEEDED, job.error
    # To the last digit of its times: measured once.
    assert (job.result or {})["candidates"][0] == kept["rows"]["float32/HNSW"]


def test_settings_that_changed_meanwhile_are_measured_anew(
    served: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = order(served)
    with monkeypatch.context() as killed:
        killed.setattr("workers.index_trial.measured", dies_in("FLAT", ProcessGone()))
        with pytest.raises(ProcessGone):
            run(served, job_id)
    old = served.job(job_id).checkpoint["rows"]["float32/HNSW"]
    policy = served.world.corpus().policy
    with served.world.database.write() as connection:
        index = IndexSettings(m=32)
        corpora.set_policy(connection, served.world.name, policy.model_copy(update={"index": index}))
    served.expire(job_id)
    (first, *_) = (run(served, job_id).result or {})["candidates"]
    assert first["bytes_a_row"]["index"] == old["bytes_a_row"]["index"] + 128


def test_a_cancelled_trial_leaves_no_collection(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = order(served)

    def cancelled(*given: Any, check: Callable[[], None], **options: Any) -> Any:
        served.give(job_id, Order.CANCEL)
        return measured(*given, check=lambda: eventually_raises(check), **options)

    monkeypatch.setattr("workers.index_trial.measured", cancelled)
    assert run(served, job_id).state is JobState.CANCELLED
    assert trials(served) == []


def test_what_a_cancelled_trial_could_not_drop_goes_with_the_next_reconciliation(
    served: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = order(served)
    monkeypatch.setattr("workers.index_trial.measured", dies_in("HNSW", JobCancelled("job j-1 was cancelled")))
    monkeypatch.setattr("embedloop.index_trial._give_up", lambda *_: None)
    assert run(served, job_id).state is JobState.CANCELLED
    assert len(trials(served)) == 1
    upkeep.reconcile(served.parts)
    assert trials(served) == []


def eventually_raises(check: Callable[[], None]) -> None:
    """A lease learns of an order within a second or so."""
    for _ in range(600):
        check()
        threading.Event().wait(0.05)
    raise AssertionError("the order never arrived")


def test_a_milvus_that_is_not_ready_in_mid_trial_is_waited_for(
    served: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = translated(65535, "service not ready[standalone=1]: Abnormal")
    faulty = FaultyIndex(served.world.index, "search", away)
    job_id = order(served)
    with monkeypatch.context() as outage:
        outage.setitem(served.parts.__dict__, "index", faulty)
        job = run(served, job_id)
    assert (job.state, job.attempts) == (JobState.RUNNING, 0)
    assert trials(served) == []
    served.expire(job_id)
    assert run(served, job_id).state is JobState.SUCCEEDED


def test_what_milvus_refuses_only_when_it_comes_to_it_is_told(
    served: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = dies_in("IVF_FLAT", InvalidInput("Milvus refused the call: no such index"))
    monkeypatch.setattr("workers.index_trial.measured", refusing)
    job = run(served, order(served))
    assert job.state is JobState.SUCCEEDED, job.error
    refused = {row["name"]: row["refused"] for row in (job.result or {})["candidates"] if "refused" in row}
    assert refused["float32/IVF_FLAT"] == "Milvus refused the call: no such index"


def test_a_trial_runs_beside_a_re_embed(served: Bench, tiny: ModelVersion) -> None:
    build = served.submit(model_version=tiny.model_id)
    served.run_until(build, "embed")
    assert run(served, order(served)).state is JobState.SUCCEEDED
    assert served.finish(build).state is JobState.SUCCEEDED
