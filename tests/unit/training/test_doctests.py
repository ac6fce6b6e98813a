from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from training import hardware, judgments, losses, merging, propensity, ranks


@pytest.mark.parametrize(
    "module", [hardware, judgments, losses, merging, propensity, ranks], ids=lambda one: str(one.__name__)
)
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0
