"""How the recipe in a corpus' policy reaches the training set, the candidate and the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedloop.client import Client
from embedloop.errors import InvalidInput
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS, NewCorpus, make_corpus, succeeded
from tests.tiny_model import build_tiny_cross_encoder

RECIPE = {
    "hard_negatives": 1,
    "loss": "cached_mnrl",
    "freeze_embeddings": True,
    "transfer": {"path": "general", "ratio": 0.5},
    "merge_alphas": [0.5],
}


def judge(client: Client, corpus: str, lines: list[dict[str, Any]]) -> None:
    assert list(client.bulk_judgments(corpus, lines))[-1]["summary"]["refused"] == 0


@pytest.fixture
def trained(client: Client, new_corpus: NewCorpus, base_model: str, tmp_path: Path) -> dict[str, Any]:
    """The candidate that a fine-tune with the recipe made, beside another corpus with golden queries."""
    reviewer = build_tiny_cross_encoder(tmp_path / "reviewer", Path(base_model))
    mining = {"sources": ["index", "bm25"], "cross_encoder": str(reviewer)}
    name = new_corpus(training={**RECIPE, "mining": mining}, gate={"general": "other_corpora"})
    other = new_corpus()
    judge(client, other, clinic.judged(2, "golden", 5))
    judge(client, name, [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)])
    judge(client, name, clinic.judged(2, "dev", 4))
    job = client.wait_for_job(client.submit_job("finetune", name)["id"], JOB_SECONDS)
    assert job["state"] in ("succeeded", "rejected"), job
    model: dict[str, Any] = client.model(job["result"]["model_version"])
    return model


def test_recipe_reaches_training_set_candidate_and_gate(trained: dict[str, Any], stack: Stack) -> None:
    metrics = trained["metrics"]
    assert metrics["pairs"]["transfer"] == 10
    assert metrics["pairs"]["dropped_known_positive"] > 0
    considered = ("negatives_searched", "negatives_lexical", "dropped_reviewed")
    assert sum(metrics["pairs"].get(one, 0) for one in considered) > 0
    assert "dropped_reviewed" in metrics["pairs"]
    sweep = metrics["sweep"]
    assert [point["alpha"] for point in sweep["points"]] == [0.0, 0.5, 1.0]
    assert sweep["alpha"] in (0.5, 1.0)
    assert all(0 <= point[one] <= 1 for point in sweep["points"] for one in ("dev", "general"))
    assert {"alignment", "uniformity", "anisotropy"} == set(metrics["curve"][0]["space"])
    general = metrics["gate"]["metrics"]["general"]
    assert general["queries"] >= 305
    assert general["base"] == pytest.approx(sweep["points"][0]["general"], abs=1e-3)
    kept = stack.data_dir / "models" / f"run-{trained['id']}"
    assert (kept / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((kept / "training.json").read_text())["config"]["settings"]["loss"] == "cached_mnrl"


def found_first(client: Client, corpus: str) -> int:
    """How many of the questions that were trained on find their document first."""
    asked = clinic.questions(0)
    return sum(client.search(corpus, query).results[0].document_id == document for query, document in asked)


def test_map_of_queries_is_gated_served_and_rolled_back_as_any_candidate(
    client: Client, new_corpus: NewCorpus
) -> None:
    name = new_corpus(training={"query_map": {"kind": "affine"}})
    judge(client, name, [*clinic.judged(0, "train"), *clinic.judged(1, "dev"), *clinic.judged(2, "golden", 6)])
    before, found_before = client.corpus(name)["serving"], found_first(client, name)
    job = succeeded(client, client.submit_job("cycle", name))
    result = job["result"]
    assert (result["gate"]["verdict"], result["promoted"]) == ("passed", True)
    model = client.model(result["model_version"])
    told = model["metrics"]["query_map"]
    assert (told["kind"], told["learnt_from"], told["chosen_on"]) == ("affine", 20, 20)
    assert told["mrr_after"] > told["mrr_before"]
    assert "query_map.safetensors" in model["manifest"]
    assert client.search(name, "flu").model_version == model["id"]
    assert found_first(client, name) > found_before
    client.put_document(name, "since", text="written after the promotion", wait_applied=True)
    client.rollback(name)
    back = client.search(name, "written after the promotion")
    assert (back.index_version, back.model_version) == (before, model["parent"])
    assert "since" in {hit.document_id for hit in back.results}


def test_bridge_answers_a_new_models_queries_from_the_passages_as_they_are(
    client: Client, new_corpus: NewCorpus, wider_model: str
) -> None:
    other = f"{new_corpus()}-wide"
    make_corpus(client, other, wider_model)
    name = new_corpus()
    judge(client, name, clinic.judged(2, "golden", 6))
    before, (new,) = client.corpus(name)["serving"], (v["model_version"] for v in client.index_versions(other))
    result = succeeded(client, client.submit_job("bridge", name, {"model_version": new}))["result"]
    assert (result["gate"]["verdict"], result["promoted"]) == ("passed", True)
    model = client.model(result["model_version"])
    assert (model["dimension"], client.model(new)["dimension"]) == (32, 48)
    assert model["metrics"]["bridge"]["queries"] == new
    found = client.search(name, "flu", top_k=len(clinic.TERMS))
    assert (found.index_version, found.model_version) == (result["index_version"], model["id"])
    assert len(found.results) == len(clinic.TERMS)
    client.rollback(name)
    assert client.search(name, "flu").index_version == before
    same = client.wait_for_job(client.submit_job("bridge", name, {"model_version": model["parent"]})["id"], 60)
    assert (same["state"], same["error"]["field"]) == ("failed", "params.model_version")


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"loss": "magic"}, "training.loss"),
        ({"query_map": {"kind": "spline"}}, "training.query_map.kind"),
        ({"merge_alphas": [1.5]}, "training.merge_alphas"),
        ({"transfer": {"path": "pairs.jsonl"}}, "training.transfer.path"),
        ({"mining": {"sources": []}}, "training.mining.sources"),
        ({"mining": {"cross_encoder": "relative"}}, "training.mining.cross_encoder"),
    ],
)
def test_recipe_that_cannot_be_is_refused_by_its_field(
    client: Client, base_model: str, section: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        client.create_corpus("wrong-recipe", base_model=base_model, policy={"training": section})
    assert field in str(refusal.value.field)


def test_transfer_file_that_is_missing_fails_the_job_by_name(
    client: Client, new_corpus: NewCorpus, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.jsonl")
    name = new_corpus(training={"transfer": {"path": missing}})
    judge(client, name, [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)])
    job = client.wait_for_job(client.submit_job("finetune", name)["id"], JOB_SECONDS)
    assert (job["state"], job["error"]["code"]) == ("failed", "training_failed")
    assert "missing.jsonl" in job["error"]["message"]


def test_synonyms_without_wordnets_files_fail_the_job_by_their_field(
    client: Client, new_corpus: NewCorpus, tmp_path: Path
) -> None:
    name = new_corpus(training={"augmentation": {"kinds": ["synonyms"], "wordnet": str(tmp_path)}})
    judge(client, name, [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)])
    job = client.wait_for_job(client.submit_job("finetune", name)["id"], JOB_SECONDS)
    assert job["state"] == "failed"
    assert job["error"]["field"] == "policy.training.augmentation.wordnet"


def test_training_of_one_job_stands_in_place_of_the_policys(
    client: Client, new_corpus: NewCorpus, stack: Stack
) -> None:
    name = new_corpus(training={"epochs": 2, "merge_alphas": []})
    judge(client, name, [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)])
    submitted = client.submit_job("finetune", name, {"training": {"epochs": 1}})
    assert submitted["params"]["training"]["merge_alphas"] == []
    job = client.wait_for_job(submitted["id"], JOB_SECONDS)
    kept = stack.data_dir / "models" / f"run-{job['result']['model_version']}" / "training.json"
    assert json.loads(kept.read_text())["config"]["settings"]["epochs"] == 1
    assert client.corpus(name)["policy"]["training"]["epochs"] == 2


@pytest.mark.parametrize(
    ("training", "field"),
    [
        ({"epochs": 0}, "params.training.epochs"),
        ({"magic": 1}, "params.training.magic"),
        (7, "params.training"),
    ],
)
def test_training_of_one_job_that_cannot_be_is_refused_by_its_field(
    client: Client, new_corpus: NewCorpus, training: Any, field: str
) -> None:
    name = new_corpus()
    with pytest.raises(InvalidInput) as refusal:
        client.submit_job("cycle", name, {"training": training})
    assert refusal.value.field == field
