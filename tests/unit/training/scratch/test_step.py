from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from embedloop.errors import JobCancelled
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from tests.unit.training.scratch.jargon import jargon
from training.course import needs_passages, run_course
from training.finetune import FinetuneConfig
from training.model_files import load_model
from training.pairs import write_training_set

SETTINGS = TrainingSettings.model_validate(
    {"from_scratch": {"method": "lsa", "dimension": 16}, "batch_size": 4, "threads": 1, "max_steps": 2}
)


def pair(number: int, split: Split) -> TrainingPair:
    made = jargon()
    query, document = made.queries[number], made.documents[number]
    return TrainingPair(query, document, (), f"q{number}", f"D{number}", split, ())


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    passages = tmp_path / "passages.jsonl"
    passages.write_text("".join(json.dumps(text) + "\n" for text in jargon().reports))
    pairs = [pair(number, Split.DEV if number > 8 else Split.TRAIN) for number in range(12)]
    return FinetuneConfig(
        base=tmp_path / "no base is read",
        out=tmp_path / "out",
        training_set=write_training_set(pairs, tmp_path / "set").path,
        settings=SETTINGS,
        query_prompt="",
        passage_prompt="",
        passages=passages,
    )


def test_recipe_from_scratch_needs_passages() -> None:
    assert needs_passages(SETTINGS)
    assert not needs_passages(TrainingSettings())


def test_model_from_scratch_is_tuned_on_the_pairs(config: FinetuneConfig) -> None:
    result = run_course(config, on_progress=lambda told: None, should_stop=lambda: False)
    record = result["course"][0]
    assert (record["step"], record["method"], record["pairs"]) == ("from_scratch", "lsa", 9)
    assert result["steps"] == 2
    assert load_model(Path(result["model"])).get_embedding_dimension() == 16


def test_without_pairs_the_model_is_kept_as_it_was_made(config: FinetuneConfig, tmp_path: Path) -> None:
    alone = replace(config, training_set=write_training_set([], tmp_path / "none").path)
    result = run_course(alone, on_progress=lambda told: None, should_stop=lambda: False)
    assert result["model"] == str(config.out / "from_scratch" / "model")
    assert result["steps"] == 0


def test_step_that_was_stopped_leaves_no_model(config: FinetuneConfig) -> None:
    settings = {"from_scratch": {"method": "word2vec", "dimension": 16}, "threads": 1}
    stopped = replace(config, settings=TrainingSettings.model_validate(settings))
    with pytest.raises(JobCancelled):
        run_course(stopped, on_progress=lambda told: None, should_stop=lambda: True)
    assert not (config.out / "from_scratch" / "model").exists()
