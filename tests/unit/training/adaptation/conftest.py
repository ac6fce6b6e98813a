"""Passages for a tiny base: sentences in which each topic's words come together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.conftest import TOPICS, lay, term
from training.finetune import FinetuneConfig

MakeConfig = Callable[..., FinetuneConfig]
PASSAGES = [f"{lay(topic)} is {term(topic)} of the body {form}" for topic in range(TOPICS) for form in "abcdef"]


@pytest.fixture
def make_adapting(make_config: MakeConfig, tmp_path: Path) -> MakeConfig:
    """A configuration with passages and without a pair."""
    (tmp_path / "passages.jsonl").write_text("".join(json.dumps(one) + "\n" for one in PASSAGES))
    (tmp_path / "no_pairs.jsonl").write_text("")

    def make(name: str = "out", base: Path | None = None, **adaptation: Any) -> FinetuneConfig:
        recipe = {"batch_size": 8, "epochs": 2, "learning_rate": 5e-3} | adaptation
        config = make_config(name, base=base, adaptation=recipe)
        return replace(config, passages=tmp_path / "passages.jsonl", training_set=tmp_path / "no_pairs.jsonl")

    return make
