"""A policy tells its mistakes by name and stays as it was made."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from embedloop.policy import Boost, IndexSettings, IndexType, MetricType, Policy, VectorType


def test_defaults_survive_a_trip_through_json() -> None:
    policy = Policy()
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"chunkin": {}}, ("chunkin",)),
        ({"chunking": {"max_token": 5}}, ("chunking", "max_token")),
        ({"chunking": {"max_tokens": 15}}, ("chunking", "max_tokens")),
        ({"chunking": {"max_tokens": 64, "overlap_tokens": 64}}, ("chunking",)),
        ({"gate": {"metric": "accuracy"}}, ("gate", "metric")),
        ({"gate": {"confidence": 1.0}}, ("gate", "confidence")),
        ({"training": {"epochs": 0}}, ("training", "epochs")),
        ({"training": {"epochs": float("nan")}}, ("training", "epochs")),
        ({"training": {"loss": "mse"}}, ("training", "loss")),
        ({"training": {"dropout": 0.6}}, ("training", "dropout")),
        ({"training": {"merge_alphas": [0.5, 1.0]}}, ("training", "merge_alphas", 1)),
        ({"training": {"processes": 0}}, ("training", "processes")),
        ({"training": {"transfer": {"path": "../x.jsonl"}}}, ("training", "transfer", "path")),
        ({"training": {"transfer": {"path": "/etc/passwd"}}}, ("training", "transfer", "path")),
        ({"training": {"transfer": {"ratio": 0}}}, ("training", "transfer", "ratio")),
        ({"training": {"sources": ["clicks"]}}, ("training", "sources", 0)),
        ({"training": {"sources": ["glossary"]}}, ("training",)),
        ({"training": {"glossary": "terms.csv"}}, ("training", "glossary")),
        ({"training": {"glossary": "/etc/passwd"}}, ("training", "glossary")),
        ({"training": {"structure": {"kinds": []}}}, ("training", "structure", "kinds")),
        ({"training": {"generated": {"within": 0}}}, ("training", "generated", "within")),
        ({"training": {"augmentation": {"share": 0}}}, ("training", "augmentation", "share")),
        ({"training": {"augmentation": {"kinds": ["code_mixing"]}}}, ("training", "augmentation")),
        ({"training": {"augmentation": {"through": "x, y"}}}, ("training", "augmentation", "through")),
        ({"gate": {"without_labels": "trust"}}, ("gate", "without_labels")),
        ({"training": {"mining": {"sources": []}}}, ("training", "mining", "sources")),
        ({"training": {"mining": {"cross_encoder": "x"}}}, ("training", "mining", "cross_encoder")),
        ({"gate": {"max_general_drop": -0.1}}, ("gate", "max_general_drop")),
        ({"gate": {"general": "all"}}, ("gate", "general")),
        ({"splits": {"golden": 0.6}}, ("splits", "golden")),
        ({"index": {"index_type": "ANNOY"}}, ("index", "index_type")),
        ({"index": {"vector_type": "int4"}}, ("index", "vector_type")),
        ({"index": {"rescore_factor": 0}}, ("index", "rescore_factor")),
        ({"index": {"rescore_factor": 65}}, ("index", "rescore_factor")),
        ({"votes": {"min_weight": 0}}, ("votes", "min_weight")),
        ({"boosts": [{"field": "a b", "value": 1, "factor": 2}]}, ("boosts", 0, "field")),
        ({"boosts": [{"field": "a", "value": 1, "factor": 0}]}, ("boosts", 0, "factor")),
        ({"base_model": ""}, ("base_model",)),
        ({"rollback_window_seconds": -1}, ("rollback_window_seconds",)),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(given: dict[str, Any], where: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as refusal:
        Policy.model_validate(given)
    assert [error["loc"] for error in refusal.value.errors()] == [where]


def test_a_policy_cannot_be_changed() -> None:
    policy = Policy()
    with pytest.raises(ValidationError, match="frozen"):
        policy.base_model = "other"  # type: ignore[misc]


@pytest.mark.parametrize("value", ["1", 1, 1.5, True])
def test_a_boost_keeps_the_type_of_its_value(value: Any) -> None:
    boost = Boost(field="lang", value=value, factor=2.0)
    back = Boost.model_validate_json(boost.model_dump_json())
    assert (type(back.value), back.value) == (type(value), value)


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ({"vector_type": "binary"}, "index_type must be FLAT or IVF_FLAT with vector_type binary, got HNSW"),
        (
            {"vector_type": "binary", "index_type": "FLAT", "metric_type": "L2"},
            "metric_type must be COSINE with vector_type binary, got L2",
        ),
        (
            {"vector_type": "int8", "index_type": "IVF_SQ8"},
            "index_type must be HNSW with vector_type int8, got IVF_SQ8",
        ),
        (
            {"vector_type": "int8", "metric_type": "IP"},
            "metric_type must be COSINE with vector_type int8, got IP",
        ),
    ],
)
def test_a_vector_type_is_refused_beside_an_index_or_metric_that_it_has_not(
    index: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told) as refusal:
        Policy.model_validate({"index": index})
    assert [error["loc"] for error in refusal.value.errors()] == [("index",)]


@pytest.mark.parametrize("vector_type", ["float16", "bfloat16"])
def test_16_bits_go_with_every_index_and_metric(vector_type: VectorType) -> None:
    for index_type in get_args(IndexType):
        for metric_type in get_args(MetricType):
            IndexSettings(vector_type=vector_type, index_type=index_type, metric_type=metric_type)
