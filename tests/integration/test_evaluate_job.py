"""Evaluations and gates on a real index: what they measure, and what they keep."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from embedloop.catalog import corpora, feedback
from embedloop.catalog.database import now
from embedloop.catalog.tables import gates
from embedloop.catalog.tables import jobs as jobs_table
from embedloop.corpus import put_documents
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.policy import GateSettings, Policy
from embedloop.records.documents import NewDocument
from embedloop.records.feedback import Retrieval
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.labels import Split
from embedloop.records.versions import ModelVersion
from tests.integration.bench import Bench
from tests.integration.conftest import CHUNKING, TEXTS
from workers.general import MOST_CORPORA, general_sets

QUERIES = {
    "bleeding nose": "nose",
    "heart attack": "heart",
    "what may help against stone and pain in a kidney": "kidney",
    "itching skin": "skin",
    "tooth decay": "tooth",
    "खून में शक्कर": "sugar",
}
AREAS = {"nose": "head", "tooth": "head", "heart": "body", "kidney": "body", "skin": "body", "sugar": "body"}


@pytest.fixture
def judged(bench: Bench, tiny: ModelVersion) -> Bench:
    """A corpus that serves and has golden queries."""
    world = bench.world
    put_documents(
        world.database,
        world.name,
        [NewDocument(i, "", text, {"area": AREAS[i]}) for i, text in TEXTS.items()],
    )
    bench.finish(bench.submit(model_version=tiny.model_id))
    lines = [ImportedJudgment(query, identity, 1, Split.GOLDEN) for query, identity in QUERIES.items()]
    import_judgments(world.database, world.corpus(), lines)
    return bench


def set_gate(bench: Bench, **settings: Any) -> None:
    gate = GateSettings.model_validate({"min_queries": 5, "pool_size": 10, "general": "none", **settings})
    with bench.world.database.write() as connection:
        corpora.set_policy(connection, bench.world.name, Policy(chunking=CHUNKING, gate=gate))


def log(bench: Bench, *queries: str) -> None:
    with bench.world.database.write() as connection:
        feedback.log_retrievals(
            connection,
            [Retrieval(f"r{n}", bench.world.name, q, "p", "iv", "m", [], now()) for n, q in enumerate(queries)],
        )


def evaluated(bench: Bench, **params: Any) -> dict[str, Any]:
    job = bench.run(bench.submit(JobKind.EVALUATE, **params))
    assert job.state is JobState.SUCCEEDED, job.error
    return dict(job.result or {})


def test_an_evaluation_puts_every_baseline_beside_the_model(
    judged: Bench, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    found = evaluated(judged, model_version=other_tiny.model_id, k=[3])
    assert (found["queries"], found["passages"]) == (6, 6)
    assert found["model"]["model_version"] == found["base"]["model_version"] == other_tiny.model_id
    assert found["serving"]["model_version"] == tiny.model_id
    for system in ("model", "serving", "base", "bm25"):
        assert {"ndcg@10", "map@3", "precision@3", "hit@5"} <= set(found[system]["metrics"])
    gained = found["model"]["metrics"]["mrr@10"] - found["bm25"]["metrics"]["mrr@10"]
    assert found["bm25"]["uplift"]["mrr@10"]["mean"] == pytest.approx(gained)
    assert found["base"]["uplift"]["mrr@10"]["mean"] == 0
    # Words find all but the query in another script.
    assert found["bm25"]["metrics"]["hit@1"] == pytest.approx(5 / 6)
    assert found["rag"] is None


def test_an_evaluation_tells_slices_by_script_topic_and_what_people_ask(judged: Bench) -> None:
    set_gate(judged, slice_field="area")
    log(judged, "heart attack", "HEART attack!", "heart attack", "itching skin", "not judged")
    found = evaluated(judged)
    rows = {(row["facet"], row["value"]): row for row in found["slices"]}
    assert rows["script", "devanagari"]["ndcg@10"]["bm25"] == 0
    assert (rows["topic", "head"]["queries"], rows["topic", "body"]["queries"]) == (2, 4)
    assert (rows["frequency", "head"]["queries"], rows["frequency", "tail"]["queries"]) == (1, 5)
    assert rows["length", "long"]["queries"] == 1


def test_an_evaluation_asks_questions_of_the_passages_found(judged: Bench) -> None:
    questions = [
        {"question": "heart attack", "answers": ["chest pain"]},
        {"question": "heart attack", "answers": ["not in any document"]},
    ]
    found = evaluated(judged, questions=questions)["rag"]
    assert found["model"]["questions"] == 2
    assert found["model"]["answer_in_context"]["mean"] in (0.0, 0.5)
    assert found["model"]["answer_accuracy"] is None


def test_an_evaluation_without_golden_queries_fails_by_name(bench: Bench, tiny: ModelVersion) -> None:
    bench.finish(bench.submit(model_version=tiny.model_id))
    job = bench.run(bench.submit(JobKind.EVALUATE))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "too_little_feedback"


def gate(bench: Bench, candidate: str) -> Any:
    """Runs the gate stage of a cycle whose candidate is this model."""
    job_id = bench.submit(JobKind.CYCLE)
    with bench.world.database.write() as connection:
        connection.execute(
            update(jobs_table)
            .where(jobs_table.c.job_id == job_id)
            .values(stage="gate", checkpoint={"model_version": candidate})
        )
    return bench.run(job_id)


def kept(bench: Bench) -> list[Any]:
    with bench.world.database.read() as connection:
        return list(connection.execute(select(gates).where(gates.c.corpus == bench.world.name)))


def test_a_gate_keeps_slices_cost_and_verdict_also_when_the_corpus_is_gone(
    judged: Bench, other_tiny: ModelVersion
) -> None:
    set_gate(judged, min_uplift=-1, max_query_ms=60_000, max_model_mb=50)
    job = gate(judged, other_tiny.model_id)
    assert (job.stage, job.checkpoint["gate"]["verdict"]) == ("build", "passed")
    metrics = job.checkpoint["gate"]["metrics"]
    assert 0 < metrics["cost"]["query_ms"] < 60_000
    assert 0 < metrics["cost"]["model_mb"] < 50
    assert {one["facet"] for one in metrics["slices"]} == {"length", "script"}
    with judged.world.database.write() as connection:
        connection.execute(update(jobs_table).values(state="cancelled"))
        corpora.remove(connection, judged.world.name)
    (row,) = kept(judged)
    assert (row.passed, row.candidate, row.metrics) == (True, other_tiny.model_id, metrics)


def test_a_candidate_beyond_a_limit_is_rejected_and_that_is_kept(
    judged: Bench, other_tiny: ModelVersion
) -> None:
    set_gate(judged, min_uplift=-1, max_model_mb=0.0001)
    job = gate(judged, other_tiny.model_id)
    assert job.state is JobState.REJECTED
    assert job.result is not None
    assert any("must be at most max_model_mb" in reason for reason in job.result["gate"]["reasons"])
    assert [row.passed for row in kept(judged)] == [False]


def test_corpora_without_golden_queries_take_no_place_in_the_general_set(judged: Bench) -> None:
    world = judged.world
    policy, serving = Policy(gate=GateSettings(general="other_corpora")), world.corpus().serving
    with world.database.write() as connection:
        corpora.add(connection, "asker", policy)
        for number in range(MOST_CORPORA):
            corpora.add(connection, f"{number}-without", Policy(chunking=CHUNKING))
            corpora.set_serving(connection, f"{number}-without", serving, None)
        asker = corpora.get(connection, "asker")
    _, other = general_sets(judged.parts, asker)
    assert set(other.queries.values()) == set(QUERIES)
