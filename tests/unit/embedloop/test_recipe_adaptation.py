from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from embedloop.recipe.settings import TrainingSettings


@pytest.mark.parametrize(
    ("adaptation", "told"),
    [
        ({}, "new_terms above 0 or an objective"),
        ({"new_terms": 10_001}, "less than or equal to 10000"),
        ({"new_terms": -1}, "greater than or equal to 0"),
        ({"objective": "gpt"}, "'mlm', 'tsdae', 'simcse', 'crops' or 'align'"),
        ({"objective": "align"}, "new_terms must be above 0, got 0"),
        ({"objective": "mlm", "heads": 2}, "Extra inputs"),
    ],
)
def test_adaptation_that_cannot_be_is_refused_by_what_is_wrong(adaptation: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TrainingSettings.model_validate({"adaptation": adaptation})


def test_adaptation_in_several_processes_is_refused() -> None:
    with pytest.raises(ValidationError, match="processes must be 1, got 2"):
        TrainingSettings.model_validate({"adaptation": {"objective": "mlm"}, "processes": 2})


def test_recipe_without_adaptation_is_the_default() -> None:
    assert TrainingSettings().adaptation is None
