from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from training import (
    difference,
    evaluation,
    fidelity,
    hardware,
    headroom,
    judgments,
    learning_curve,
    losses,
    merging,
    passages,
    propensity,
    rag,
    ranks,
    schedule,
    slices,
    two_stage,
)
from training.scratch import latent, pooling, tokenizer
from training.vocabulary import report as vocabulary_report
from training.vocabulary import terms as vocabulary_terms

MODULES = [
    vocabulary_report,
    vocabulary_terms,
    difference,
    evaluation,
    fidelity,
    hardware,
    headroom,
    judgments,
    learning_curve,
    losses,
    merging,
    passages,
    propensity,
    rag,
    ranks,
    schedule,
    slices,
    latent,
    pooling,
    tokenizer,
    two_stage,
]


@pytest.mark.parametrize("module", MODULES, ids=lambda one: str(one.__name__))
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0
