"""A task that a tiny model can learn: words that mean the same, met only in training texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Judgment, Split
from embedloop.records.training import TrainingPair
from tests.tiny_model import build_tiny_model
from training.finetune import FinetuneConfig, FinetuneResult, finetune
from training.pairs import build_pairs, write_training_set

TOPICS = 24
FORMS = ("{}", "what is {}", "help with {}", "{} today")
_SYLLABLES = [first + second for first in "bdfgklmnprst" for second in "aeiou"]


def lay(topic: int) -> str:
    return f"{_SYLLABLES[topic]}{_SYLLABLES[topic + 7]}"


def term(topic: int) -> str:
    return f"{_SYLLABLES[topic + 20]}{_SYLLABLES[topic + 11]}x"


def document(topic: int) -> str:
    return f"{term(topic)}\na disease of the body"


WORDS = [
    *[lay(topic) for topic in range(TOPICS)],
    *[term(topic) for topic in range(TOPICS)],
    *["what", "is", "help", "with", "today", "a", "disease", "of", "the", "body"],
]


def synonym_pairs(dev: bool = True) -> list[TrainingPair]:
    """Every topic is trained in three wordings of its query and tested in the fourth."""
    judgments = [
        Judgment(
            query=form.format(lay(topic)),
            document_id=f"D{topic}",
            grade=1,
            split=Split.DEV if form == FORMS[-1] else Split.TRAIN,
            source="test",
        )
        for topic in range(TOPICS)
        for form in (FORMS if dev else FORMS[:-1])
    ]
    texts = {f"D{topic}": document(topic) for topic in range(TOPICS)}
    negatives = {lay(topic): [f"D{(topic + 5) % TOPICS}"] for topic in range(TOPICS)}
    return build_pairs(judgments, texts, negatives)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"), words=WORDS)


@pytest.fixture
def make_config(tiny_base: Path, tmp_path: Path) -> Callable[..., FinetuneConfig]:
    def make(
        name: str = "out", *, dev: bool = True, base: Path | None = None, **settings: Any
    ) -> FinetuneConfig:
        recipe = {"batch_size": 8, "epochs": 4, "learning_rate": 5e-3, "threads": 1} | settings
        return FinetuneConfig(
            base=base or tiny_base,
            out=tmp_path / name,
            training_set=write_training_set(synonym_pairs(dev), tmp_path / "sets").path,
            settings=TrainingSettings(**recipe),
            query_prompt="",
            passage_prompt="",
        )

    return make


def run(config: FinetuneConfig, should_stop: Callable[[], bool] = lambda: False) -> FinetuneResult:
    return finetune(config, on_progress=lambda progress: None, should_stop=should_stop)
