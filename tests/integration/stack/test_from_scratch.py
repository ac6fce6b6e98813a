"""A model made of the corpus alone, through the whole stack: job, gate, index version, swap, search."""

from __future__ import annotations

from typing import Any

import pytest

from embedloop.client import Client
from embedloop.errors import InvalidInput
from tests.integration.stack import clinic
from tests.integration.stack.conftest import NewCorpus, succeeded

RECIPE = {"method": "lsa", "dimension": 16, "min_count": 1}
POLICY: dict[str, Any] = {
    "training": {"from_scratch": RECIPE, "learning_rate": 1e-5},
    "gate": {"general": "none"},
}


def test_model_from_scratch_passes_the_gate_and_serves(client: Client, new_corpus: NewCorpus) -> None:
    name = new_corpus(**POLICY)
    lines = [*clinic.judged(0, "train"), *clinic.judged(1, "golden")]
    assert list(client.bulk_judgments(name, lines))[-1]["summary"]["refused"] == 0
    job = succeeded(client, client.submit_job("train_from_scratch", name))
    result = job["result"]
    assert result["promoted"]
    assert result["gate"]["metrics"]["candidate"]["ndcg@10"] > result["gate"]["metrics"]["serving"]["ndcg@10"]
    model = client.model(result["model_version"])
    assert model["dimension"] == 16
    assert model["metrics"]["course"][0]["method"] == "lsa"
    assert model["metrics"]["course"][0]["pairs"] == len(clinic.TERMS)
    found = client.search(name, "kidney stone", top_k=3)
    assert found.model_version == result["model_version"]
    assert found.results[0].document_id == "d04"
    unknown = client.search(name, "??? ☃", top_k=3)
    assert all(abs(one.score) < 0.1 for one in unknown.results)


def test_transformer_of_its_own_passes_the_gate_and_serves(client: Client, new_corpus: NewCorpus) -> None:
    recipe = {"method": "transformer", "dimension": 32, "layers": 1, "heads": 2, "max_steps": 2}
    name = new_corpus(training={"from_scratch": recipe, "learning_rate": 1e-5}, gate={"general": "none"})
    lines = [*clinic.judged(0, "train"), *clinic.judged(1, "golden")]
    assert list(client.bulk_judgments(name, lines))[-1]["summary"]["refused"] == 0
    result = succeeded(client, client.submit_job("train_from_scratch", name))["result"]
    assert result["promoted"]
    model = client.model(result["model_version"])
    assert [one["step"] for one in model["metrics"]["course"]] == ["from_scratch", "mlm", "crops"]
    assert client.search(name, "kidney stone", top_k=3).results[0].document_id == "d04"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (
            {"training": {"from_scratch": {"method": "transformer", "window": 5}}},
            "params.training.from_scratch.window",
        ),
        ({"training": {"from_scratch": {"method": "magic"}}}, "params.training.from_scratch.method"),
        ({"training": {"from_scratch": {"method": "lsa", "layers": 2}}}, "params.training.from_scratch.layers"),
        ({"training": {"processes": 2}}, "params.training"),
    ],
)
def test_recipe_that_cannot_be_is_refused_by_its_field(
    client: Client, new_corpus: NewCorpus, params: dict[str, Any], field: str
) -> None:
    name = new_corpus(wait=False, filled=False, gate={"general": "none"})
    with pytest.raises(InvalidInput) as refusal:
        client.submit_job("train_from_scratch", name, params)
    assert refusal.value.field == field


def test_gate_that_asks_for_general_text_is_told_before_anything_is_trained(
    client: Client, new_corpus: NewCorpus
) -> None:
    name = new_corpus(wait=False, filled=False)
    with pytest.raises(InvalidInput, match=r"gate\.general none"):
        client.submit_job("train_from_scratch", name)
