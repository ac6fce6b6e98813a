"""The transformer's way through a course: first vectors, masked tokens, parts of passages, pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from embedloop.encoder import TorchEncoder
from embedloop.errors import JobCancelled
from embedloop.recipe.scratch import OwnTransformer
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.registry import resolve_base
from tests.unit.training.scratch.jargon import jargon
from tests.unit.training.scratch.test_transformer import hits
from training.course import run_course
from training.finetune import FinetuneConfig, Progress
from training.pairs import write_training_set
from training.scratch.step import plans

MADE = jargon()
TINY = {"method": "transformer", "dimension": 32, "layers": 1, "heads": 2, "max_pieces": 600, "max_tokens": 16}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., FinetuneConfig]:
    passages = tmp_path / "passages.jsonl"
    passages.write_text("".join(json.dumps(text) + "\n" for text in MADE.reports))

    def config(name: str, pairs: int = 0, **scratch: Any) -> FinetuneConfig:
        told = [
            TrainingPair(MADE.queries[n], MADE.documents[n], (), f"q{n}", f"D{n}", Split.TRAIN, ())
            for n in range(pairs)
        ]
        recipe = {"from_scratch": TINY | scratch, "threads": 1, "batch_size": 4, "max_steps": 2}
        return FinetuneConfig(
            base=tmp_path / "no base is read",
            out=tmp_path / name,
            training_set=write_training_set(told, tmp_path / f"{name}-set").path,
            settings=TrainingSettings.model_validate(recipe),
            query_prompt="",
            passage_prompt="",
            passages=passages,
        )

    return config


def course(config: FinetuneConfig, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    return run_course(config, on_progress=lambda told: None, should_stop=should_stop)


def weights(result: dict[str, Any]) -> dict[str, np.ndarray]:
    return load_file(Path(result["model"]) / "model.safetensors")


def test_it_finds_in_a_jargon_what_a_pretrained_model_cannot(make: Callable[..., FinetuneConfig]) -> None:
    result = course(make("own", mlm_epochs=1, crop_epochs=3))
    assert hits(TorchEncoder(Path(result["model"]), max_tokens=64)) == 1.0
    assert hits(TorchEncoder(resolve_base("all-MiniLM-L6-v2"), max_tokens=64)) < 0.5


def test_drawn_weights_learn_it_from_parts_of_passages(make: Callable[..., FinetuneConfig]) -> None:
    before = course(make("before", initial="random", mlm_epochs=0, crop_epochs=0))
    after = course(make("after", initial="random", mlm_epochs=0, crop_epochs=8, learning_rate=2e-3))
    found = [hits(TorchEncoder(Path(one["model"]), max_tokens=64)) for one in (before, after)]
    assert found[0] < 0.5 < 0.9 < found[1]


def test_each_step_tells_what_it_did_and_the_pairs_come_last(make: Callable[..., FinetuneConfig]) -> None:
    result = course(make("out", pairs=9, mlm_epochs=1, crop_epochs=1))
    first, mlm, crops = result["course"]
    assert (first["step"], first["method"], first["pairs"]) == ("from_scratch", "transformer", 9)
    assert (mlm["step"], mlm["learning"]["objective"]) == ("mlm", "mlm")
    assert mlm["learning"]["passages"] == len(set(MADE.reports)) + 9
    assert (crops["step"], crops["learning"]["objective"]) == ("crops", "crops")
    assert crops["learning"]["passages"] == len(set(MADE.reports))
    assert result["steps"] == 2


def test_stopped_pretraining_goes_on_and_ends_as_if_it_had_never_stopped(
    make: Callable[..., FinetuneConfig],
) -> None:
    scratch = {"mlm_epochs": 1, "crop_epochs": 1, "batch_size": 64}
    whole = course(make("whole", **scratch))
    config, asked = make("stopped", **scratch), count(1)
    with pytest.raises(JobCancelled, match="step 4"):
        # Asked twice by the first step, after each of the eight steps of the second, and then by the third.
        course(config, should_stop=lambda: next(asked) >= 14)
    made = (config.out / "from_scratch" / "step.json").stat().st_mtime_ns
    assert not (config.out / "crops" / "model").exists()
    resumed = course(config)
    one, two = weights(whole), weights(resumed)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[key], two[key]) for key in one)
    assert (config.out / "from_scratch" / "step.json").stat().st_mtime_ns == made


def test_progress_grows_through_all_steps(make: Callable[..., FinetuneConfig]) -> None:
    told: list[Progress] = []
    config = make("out", mlm_epochs=1, crop_epochs=1, max_steps=2)
    run_course(config, on_progress=told.append, should_stop=lambda: False)
    shares = [one.progress for one in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


def test_steps_share_the_time_by_their_epochs_and_one_without_epochs_is_left_out() -> None:
    wanted = OwnTransformer(method="transformer", mlm_epochs=1, crop_epochs=3, time_budget_seconds=400)
    assert [(one.objective, one.time_budget_seconds) for one in plans(wanted)] == [("mlm", 100), ("crops", 300)]
    assert [one.objective for one in plans(wanted.model_copy(update={"mlm_epochs": 0}))] == ["crops"]
    assert plans(wanted.model_copy(update={"mlm_epochs": 0, "crop_epochs": 0})) == []
