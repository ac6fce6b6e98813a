from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from embedloop.policy import Policy
from embedloop.recipe.settings import TrainingSettings

LSA = {"from_scratch": {"method": "lsa"}}


def test_model_from_scratch_needs_no_judgments() -> None:
    assert not TrainingSettings.model_validate(LSA).needs_judgments
    assert TrainingSettings().needs_judgments


def test_gate_that_asks_for_general_text_would_always_refuse_it() -> None:
    with pytest.raises(ValidationError, match=r"gate\.general none"):
        Policy.model_validate({"training": LSA})
    assert Policy.model_validate({"training": LSA, "gate": {"general": "none"}}).training.from_scratch


@pytest.mark.parametrize(
    "wrong",
    [
        {"from_scratch": {}},
        {"from_scratch": {"method": "glove"}},
        {"from_scratch": {"method": "lsa", "dimension": 8}},
        {"from_scratch": {"method": "fasttext", "shortest_ngram": 5, "longest_ngram": 3}},
        {"from_scratch": {"method": "lsa"}, "processes": 2},
    ],
)
def test_recipe_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate(wrong)
