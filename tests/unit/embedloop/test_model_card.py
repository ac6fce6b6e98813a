from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from embedloop.catalog.database import now
from embedloop.model_card import card_of, limits_of, to_markdown
from embedloop.records.gate import Gate
from embedloop.records.training import TrainingSet
from embedloop.records.versions import ModelVersion

MODEL = ModelVersion(
    model_id="m-2",
    base="all-MiniLM-L6-v2",
    parent="m-1",
    corpus="support",
    training_set_id="ts-1",
    dimension=384,
    max_tokens=256,
    query_prompt="query: ",
    passage_prompt="",
    backend="onnx",
    manifest={"model.safetensors": "0" * 64},
    metrics={"steps": 63, "stopped_by": "steps", "notes": ["no dev split"], "curve": [1, 2, 3]},
    created_at=now(),
)
TRAINED_ON = TrainingSet("ts-1", "support", "f" * 64, {"train": 4000, "dev": 400}, "pairs.jsonl", now())
RUN = {
    "config": {"settings": {"epochs": 1.0}, "base": "/srv/models/m-1", "out": "/srv/work/j-1"},
    "environment": {"python": "3.11", "packages": {"torch": "2.13"}},
}


def gate(passed: bool = True, **metrics: Any) -> Gate:
    change = {"mean": 0.1, "low": 0.05, "high": 0.15}
    measured = {
        "queries": 200,
        "serving": {"ndcg@10": 0.6},
        "candidate": {"ndcg@10": 0.7},
        "uplift": {"ndcg@10": change},
        "general": {"queries": 50},
        "slices": [],
    }
    return Gate("g-1", "support", "j-1", "m-2", "m-1", passed, ["better | than"], measured | metrics, now())


def test_a_card_tells_lineage_training_and_every_gate() -> None:
    card = card_of(MODEL, TRAINED_ON, [gate(), gate(False)], RUN, {"feedback": 4711})
    assert card["data"]["counts"] == {"train": 4000, "dev": 400}
    assert card["data"]["sources"] == {"feedback": 4711}
    assert "distinct sources: feedback | 4711" in to_markdown(card)
    assert card["training"]["settings"] == {"epochs": 1.0}
    assert card["training"]["environment"]["packages"] == {"torch": "2.13"}
    assert card["training"]["steps"] == 63
    assert [one["verdict"] for one in card["gates"]] == ["passed", "failed"]
    assert json.loads(json.dumps(card)) == card


def test_a_card_tells_no_path_of_the_server() -> None:
    assert "/srv/" not in json.dumps(card_of(MODEL, TRAINED_ON, [gate()], RUN))


def test_an_untrained_base_has_a_card_without_data() -> None:
    base = replace(MODEL, parent=None, corpus=None, training_set_id=None, metrics={})
    card = card_of(base, None, [], None)
    assert (card["data"], card["training"], card["gates"]) == (None, None, [])
    assert card["limits"] == ["Text beyond 256 tokens is not read.", "No gate has measured it."]
    assert "None: an untrained base." in to_markdown(card)


def test_limits_name_what_fell_what_was_not_measured_and_what_the_gate_refused() -> None:
    fell = {
        "facet": "topic",
        "value": "leases",
        "queries": 31,
        "change": {"mean": -0.2, "low": -0.3, "high": -0.1},
    }
    unsure = {
        "facet": "length",
        "value": "long",
        "queries": 9,
        "change": {"mean": -0.2, "low": -0.5, "high": 0.1},
    }
    told = " ".join(limits_of(MODEL, TRAINED_ON, [gate(False, slices=[fell, unsure], general=None), gate()]))
    for part in (
        "refused it",
        "'leases': -0.2000 on 31 queries",
        "forgot of other text was not",
        "no dev split",
    ):
        assert part in told
    assert "'long'" not in told


def test_a_gate_completes_a_card() -> None:
    before, after = (" ".join(limits_of(MODEL, TRAINED_ON, gates)) for gates in ([], [gate()]))
    assert "No gate has measured it" in before
    assert "200 golden queries of corpus 'support'" in after


def test_markdown_keeps_its_tables_whatever_is_in_them() -> None:
    hostile = replace(MODEL, base="<b>| x\n# heading", metrics={})
    told = to_markdown(card_of(hostile, TRAINED_ON, [gate()], RUN))
    assert "<b>" not in told.replace("\\<b\\>", "")
    assert "\n# heading" not in told
    assert "- better \\| than" in told
    assert "| ndcg@10 | 0.6000 | 0.7000 | +0.0500 to +0.1500 |" in told
