from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from embedloop.policy import Policy
from embedloop.recipe.scratch import OwnTransformer, WordVectors
from embedloop.recipe.settings import TrainingSettings

LSA = {"from_scratch": {"method": "lsa"}}


def test_model_from_scratch_needs_no_judgments() -> None:
    assert not TrainingSettings.model_validate(LSA).needs_judgments
    assert TrainingSettings().needs_judgments


def test_gate_that_asks_for_general_text_would_always_refuse_it() -> None:
    with pytest.raises(ValidationError, match=r"gate\.general none"):
        Policy.model_validate({"training": LSA})
    assert Policy.model_validate({"training": LSA, "gate": {"general": "none"}}).training.from_scratch


def test_method_decides_which_fields_there_are() -> None:
    static = TrainingSettings.model_validate({"from_scratch": {"method": "lsa", "window": 5}})
    own = TrainingSettings.model_validate({"from_scratch": {"method": "transformer", "layers": 2}})
    assert isinstance(static.from_scratch, WordVectors)
    assert isinstance(own.from_scratch, OwnTransformer)
    for settings in (static, own):
        assert TrainingSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"method": "glove"}, ("method",)),
        ({}, ("method",)),
        ({"method": "lsa", "layers": 2}, ("layers",)),
        ({"method": "transformer", "window": 5}, ("window",)),
        ({"method": "transformer", "layers": 13}, ("layers",)),
    ],
)
def test_error_names_the_field_of_the_chosen_method(wrong: dict[str, Any], place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as refusal:
        TrainingSettings.model_validate({"from_scratch": wrong})
    assert [one["loc"] for one in refusal.value.errors()] == [("from_scratch", *place)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"from_scratch": {}},
        {"from_scratch": {"method": "glove"}},
        {"from_scratch": {"method": "lsa", "dimension": 8}},
        {"from_scratch": {"method": "fasttext", "shortest_ngram": 5, "longest_ngram": 3}},
        {"from_scratch": {"method": "lsa"}, "processes": 2},
        {"from_scratch": {"method": "transformer", "dimension": 66, "heads": 4}},
        {"from_scratch": 7},
    ],
)
def test_recipe_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate(wrong)
