"""A course: steps around the fine-tune, each done once however often the run is killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedloop.errors import JobCancelled
from training import course
from training.course import Course, run_course
from training.finetune import FinetuneConfig, Progress
from training.model_files import load_model
from training.pairs import write_training_set
from training.steps import Step, Task

MakeConfig = Callable[..., FinetuneConfig]


def never() -> bool:
    return False


class Copying:
    """A step that copies its base and counts how often it was run."""

    def __init__(self) -> None:
        self.bases: list[Path] = []

    def __call__(self, task: Task) -> Mapping[str, Any]:
        self.bases.append(task.base)
        if task.should_stop():
            raise JobCancelled("stopped")
        task.on_progress(0.5)
        shutil.copytree(task.base, task.model)
        return {"copied": task.base.name}


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> tuple[Copying, Copying]:
    """One step before the fine-tune and one after it."""
    first, last = Copying(), Copying()
    steps = Course(before=[Step("first", 0.5, first)], after=[Step("last", 0.5, last)])
    monkeypatch.setattr(course, "course_of", lambda settings: steps)
    return first, last


def test_recipe_without_a_road_is_the_fine_tune_alone(make_config: MakeConfig) -> None:
    config = make_config(max_steps=1)
    result = run_course(config, on_progress=lambda told: None, should_stop=never)
    assert result["course"] == []
    assert result["model"] == str(config.out / "model")


def test_each_step_begins_with_the_model_of_the_one_before(
    make_config: MakeConfig, copying: tuple[Copying, Copying]
) -> None:
    config = make_config(max_steps=1)
    result = run_course(config, on_progress=lambda told: None, should_stop=never)
    assert copying[0].bases == [config.base]
    assert copying[1].bases == [config.out / "model"]
    assert result["model"] == str(config.out / "last" / "model")
    assert load_model(Path(result["model"])).get_embedding_dimension()


def test_records_of_the_steps_are_told_in_their_order(
    make_config: MakeConfig, copying: tuple[Copying, Copying]
) -> None:
    result = run_course(make_config(max_steps=1), on_progress=lambda told: None, should_stop=never)
    assert [(one["step"], one["copied"]) for one in result["course"]] == [
        ("first", copying[0].bases[0].name),
        ("last", "model"),
    ]


def test_without_pairs_the_model_of_the_step_before_is_kept(
    make_config: MakeConfig, copying: tuple[Copying, Copying], tmp_path: Path
) -> None:
    config = replace(make_config(), training_set=write_training_set([], tmp_path / "none").path)
    result = run_course(config, on_progress=lambda told: None, should_stop=never)
    assert copying[1].bases == [config.out / "first" / "model"]
    assert (result["steps"], result["notes"]) == (0, ("there were no pairs: nothing was fine-tuned",))
    assert (config.out / "training.json").is_file()
    assert (config.out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_progress_never_falls_over_the_steps(make_config: MakeConfig, copying: tuple[Copying, Copying]) -> None:
    told: list[Progress] = []
    run_course(make_config(max_steps=2), on_progress=told.append, should_stop=never)
    shares = [one.progress for one in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.125, 0.875)


def test_step_that_has_ended_is_not_run_again(
    make_config: MakeConfig, copying: tuple[Copying, Copying]
) -> None:
    config = make_config(max_steps=1)
    with pytest.raises(JobCancelled):
        run_course(config, on_progress=lambda told: None, should_stop=lambda: bool(copying[1].bases))
    resumed = run_course(config, on_progress=lambda told: None, should_stop=never)
    assert len(copying[0].bases) == 1
    assert [one["step"] for one in resumed["course"]] == ["first", "last"]
