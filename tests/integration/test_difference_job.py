"""Answers before and after, and the approval that a policy asks for, over HTTP and a real index."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from embedloop.catalog import corpora, feedback
from embedloop.catalog.database import now
from embedloop.policy import Policy
from embedloop.promotion import alias_of
from embedloop.records.feedback import Retrieval
from embedloop.records.jobs import JobState
from embedloop.records.versions import IndexState, ModelVersion
from tests.integration.bench import Bench
from tests.integration.conftest import CHUNKING, TEXTS


@pytest.fixture
def served(bench: Bench, tiny: ModelVersion, other_tiny: ModelVersion) -> Bench:
    """A corpus that serves one model, and lets another one follow."""
    bench.finish(bench.submit(model_version=tiny.model_id))
    bench.world.pass_gate(other_tiny)
    return bench


def ask_for_approval(bench: Bench, *critical: str) -> None:
    policy = Policy(chunking=CHUNKING, critical_queries=critical, require_approval=True)
    with bench.world.database.write() as connection:
        corpora.set_policy(connection, bench.world.name, policy)


def log(bench: Bench, *queries: str) -> None:
    with bench.world.database.write() as connection:
        feedback.log_retrievals(
            connection,
            [Retrieval(f"r{n}", bench.world.name, q, "p", "iv", "m", [], now()) for n, q in enumerate(queries)],
        )


def report(http: TestClient, bench: Bench, index_version: str) -> Any:
    return http.get(f"/v1/corpora/{bench.world.name}/index-versions/{index_version}/difference")


def test_answers_are_compared_with_those_of_the_version_that_serves(
    served: Bench, http: TestClient, other_tiny: ModelVersion
) -> None:
    world = served.world
    before = world.corpus().serving
    log(served, "heart attack", "heart  ATTACK!", "chest pain", "bleeding nose")
    job_id = served.submit(model_version=other_tiny.model_id, critical_queries=["Bleeding nose"])
    served.run_until(job_id, "difference")
    world.delete("tooth")
    job = served.run(job_id)
    assert job.stage == "promote"
    told = report(http, served, job.checkpoint["index_version"]).json()
    assert (told["against"], told["critical"], told["recent"]) == (before, 1, 2)
    critical = told["queries"][0]
    assert (critical["query"], critical["critical"]) == ("Bleeding nose", True)
    for side in ("before", "after"):
        assert {hit["document_id"] for hit in critical[side]} == set(TEXTS) - {"tooth"}
    assert all(0 < one["change"] <= 1 for one in told["queries"][1:])
    assert served.finish(job_id).state is JobState.SUCCEEDED


def test_a_report_names_no_text_of_a_document_that_is_gone(
    served: Bench, http: TestClient, other_tiny: ModelVersion
) -> None:
    job_id = served.submit(model_version=other_tiny.model_id, critical_queries=["nose"])
    job = served.finish(job_id)
    served.world.delete("nose")
    hits = report(http, served, job.checkpoint["index_version"]).json()["queries"][0]["after"]
    assert {hit["document_id"]: hit["title"] for hit in hits}["nose"] is None


def test_a_collection_that_was_lost_answers_nothing_and_does_not_stop_what_replaces_it(
    served: Bench, http: TestClient, other_tiny: ModelVersion
) -> None:
    world = served.world
    serving = world.corpus().serving
    assert serving is not None
    world.index.drop_alias(alias_of(world.name))
    world.index.drop(world.version(serving).collection)
    job = served.finish(served.submit(model_version=other_tiny.model_id, critical_queries=["nose"]))
    assert job.state is JobState.SUCCEEDED, job.error
    (told,) = report(http, served, job.checkpoint["index_version"]).json()["queries"]
    assert told["before"] == []
    assert told["change"] == 1
    assert told["after"]


def test_the_first_version_is_compared_with_none(bench: Bench, http: TestClient, tiny: ModelVersion) -> None:
    ask_for_approval(bench, "nose")
    job = bench.finish(bench.submit(model_version=tiny.model_id))
    assert job.state is JobState.SUCCEEDED
    missing = report(http, bench, job.checkpoint["index_version"])
    assert (missing.status_code, missing.json()["field"]) == (404, "index_version")
    assert report(http, bench, "iv-none").status_code == 404


@pytest.mark.parametrize("approved", [True, False])
def test_a_job_waits_for_a_persons_word_and_obeys_it(
    served: Bench, http: TestClient, other_tiny: ModelVersion, approved: bool
) -> None:
    ask_for_approval(served, "bleeding nose")
    before = served.world.corpus().serving
    job_id = served.submit(model_version=other_tiny.model_id)
    served.run_until(job_id, "promote")
    waiting = http.get(f"/v1/jobs/{job_id}").json()
    assert waiting["state"] == "awaiting_approval"
    candidate = waiting["result"]["index_version"]
    assert report(http, served, candidate).json()["critical"] == 1
    assert served.run(job_id).state is JobState.AWAITING_APPROVAL
    assert served.world.corpus().serving == before
    if approved:
        answer = http.post(f"/v1/jobs/{job_id}/approve", json={})
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        assert served.run(job_id).state is JobState.SUCCEEDED
        assert served.world.corpus().serving == candidate
    else:
        for wrong in ({}, {"reason": " "}, {"reason": None}):
            assert http.post(f"/v1/jobs/{job_id}/reject", json=wrong).status_code == 400
        answer = http.post(f"/v1/jobs/{job_id}/reject", json={"reason": "worse"})
        assert (answer.status_code, answer.json()["state"]) == (202, "rejected")
        assert served.world.version(candidate).state is IndexState.RETIRED
        assert served.world.corpus().serving == before
    again = http.post(f"/v1/jobs/{job_id}/approve", json={"reason": "again"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_a_model_that_no_judged_query_speaks_for_waits_whatever_the_policy(
    served: Bench, other_tiny: ModelVersion
) -> None:
    before = served.world.corpus().serving
    served.world.pass_gate(other_tiny, evidence="held_out_structure")
    job = served.run_until(served.submit(model_version=other_tiny.model_id), "promote")
    assert job.state is JobState.AWAITING_APPROVAL
    assert served.world.corpus().serving == before
    served.versions()


def test_a_cancelled_wait_for_approval_leaves_no_ready_version(
    served: Bench, http: TestClient, other_tiny: ModelVersion
) -> None:
    ask_for_approval(served)
    job_id = served.submit(model_version=other_tiny.model_id)
    waiting = served.finish(job_id)
    assert waiting.state is JobState.AWAITING_APPROVAL
    candidate = waiting.checkpoint["index_version"]
    assert served.world.version(candidate).state is IndexState.READY
    http.post(f"/v1/jobs/{job_id}/cancel")
    assert served.run(job_id).state is JobState.CANCELLED
    assert served.world.version(candidate).state is IndexState.RETIRED


def test_a_job_that_shall_not_promote_waits_for_nobody(served: Bench, other_tiny: ModelVersion) -> None:
    ask_for_approval(served)
    job = served.finish(served.submit(model_version=other_tiny.model_id, promote=False))
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    assert job.result["promoted"] is False
