"""Settings of augmentation: where synonyms come from, and what each kind needs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from embedloop.recipe.settings import TrainingSettings


@pytest.mark.parametrize(
    ("augmentation", "told"),
    [
        ({"kinds": []}, "at least 1 item"),
        ({"kinds": ["typos"]}, "Input should be 'synonyms'"),
        ({"share": 0}, "greater than 0"),
        ({"wordnet": "wordnet"}, "String should match pattern"),
        ({"wordnet": None}, "synonyms need a glossary where augmentation.wordnet is null"),
        ({"kinds": ["code_mixing"]}, "bilingual must be the path of a file"),
    ],
)
def test_augmentation_that_cannot_be_is_refused_by_what_is_wrong(
    augmentation: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        TrainingSettings.model_validate({"augmentation": augmentation})


def test_a_glossary_gives_synonyms_without_wordnet() -> None:
    recipe = {"glossary": "/terms.jsonl", "augmentation": {"kinds": ["synonyms"], "wordnet": None}}
    wanted = TrainingSettings.model_validate(recipe).augmentation
    assert wanted is not None
    assert wanted.wordnet is None
