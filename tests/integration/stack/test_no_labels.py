"""A corpus that nobody has searched or judged yet learns from its documents alone, and a person decides."""

from __future__ import annotations

from typing import Any

import pytest

from embedloop.client import Client
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS, make_corpus
from tests.patience import eventually

# Which documents are held out follows from the name.
NAME = "no-labels"


@pytest.fixture(scope="module")
def waiting(client: Client, base_model: str) -> dict[str, Any]:
    """The cycle's job, when it waits for a person."""
    make_corpus(
        client,
        NAME,
        base_model,
        splits={"golden": 0.4, "dev": 0.1},
        training={"sources": ["structure"], "transfer": None},
        gate={"without_labels": "held_out"},
    )
    job = client.submit_job("cycle", NAME)

    def stopped() -> dict[str, Any] | None:
        present: dict[str, Any] = client.job(job["id"])
        return present if present["state"] not in ("queued", "running") else None

    found: dict[str, Any] = eventually(stopped, "the cycle to wait for a person")
    return found


def test_a_candidate_that_no_person_judged_waits_for_one_and_then_serves(
    client: Client, waiting: dict[str, Any]
) -> None:
    assert waiting["state"] == "awaiting_approval", waiting
    gate = waiting["result"]["gate"]
    assert gate["metrics"]["evidence"] == "held_out_structure"
    assert gate["metrics"]["queries"] >= 5
    before = client.search(NAME, "flu")
    assert before.index_version != waiting["result"]["index_version"]
    client.approve_job(waiting["id"], reason="The answers look right.")
    job = client.wait_for_job(waiting["id"], JOB_SECONDS)
    assert (job["state"], job["result"]["promoted"]) == ("succeeded", True), job
    found = client.search(NAME, "influenza", top_k=20)
    assert found.model_version == job["result"]["model_version"]
    assert len(found.results) == len(clinic.TERMS)


def test_no_document_that_measured_it_was_in_its_training(client: Client, waiting: dict[str, Any]) -> None:
    pairs = client.training_pairs(NAME, training_set=waiting["result"]["training_set"], limit=100)
    trained = {one["document_id"] for one in pairs}
    told = {source for one in pairs for source in one["sources"]["structure"]}
    assert {f"structure:title:{one}" for one in trained} == told
    assert len(trained) + waiting["result"]["gate"]["metrics"]["queries"] <= len(clinic.TERMS)
