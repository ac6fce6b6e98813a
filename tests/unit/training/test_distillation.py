from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.recipe.compression import Student
from tests.tiny_model import build_tiny_model
from tests.unit.training.conftest import FORMS, TOPICS, WORDS, document, lay
from training.course import needs_passages, run_course
from training.distillation import distillation, thinned
from training.export import check_parity, export_onnx
from training.finetune import FinetuneConfig
from training.layers import layer_stack
from training.model_files import load_model, save_model
from training.steps import Task

MakeConfig = Callable[..., FinetuneConfig]
PASSAGES = [text for topic in range(TOPICS) for text in (document(topic), f"{lay(topic)} and the body")]


@pytest.fixture
def make_task(make_config: MakeConfig, tmp_path: Path) -> Callable[..., Task]:
    def make(stops: Callable[[], bool] = lambda: False, **settings: Any) -> Task:
        passages = tmp_path / "passages.jsonl"
        passages.write_text("".join(json.dumps(text) + "\n" for text in PASSAGES))
        config = replace(make_config(**settings), passages=passages)
        out = tmp_path / "student"
        out.mkdir(exist_ok=True)
        return Task(config.base, out, config, lambda share: None, stops)

    return make


@pytest.fixture
def teacher(tiny_base: Path, tmp_path: Path) -> Path:
    """A model whose layers do much: in the tiny one they leave a text's vector nearly as it comes."""
    model = load_model(tiny_base)
    with torch.no_grad():
        for one in model[0].model.encoder.parameters():
            if one.ndim == 2:
                one.mul_(10)
    save_model(model, tmp_path / "teacher")
    return tmp_path / "teacher"


def test_student_with_fewer_layers_comes_near_its_teacher(
    make_task: Callable[..., Task], teacher: Path
) -> None:
    task = make_task(base=teacher)
    untaught = distillation(Student(layers=1, epochs=0.01)).body(task)
    told = distillation(Student(layers=1, epochs=20, learning_rate=2e-3, batch_size=8)).body(task)
    assert untaught["cosine"] < 0.9 < told["cosine"]
    assert told["weights"][1] < told["weights"][0]
    assert told["texts"] == len(PASSAGES) + TOPICS * (len(FORMS) - 1)
    assert len(told["dev"]) == 2
    student = load_model(task.model)
    stack = layer_stack(student)
    assert stack is not None
    assert len(stack) == 1
    export_onnx(task.model)
    assert check_parity(task.model, PASSAGES) > 0.9999


def test_student_of_another_base_gets_vectors_of_the_teachers_length(
    make_task: Callable[..., Task], tmp_path: Path
) -> None:
    narrow = build_tiny_model(tmp_path / "narrow", dimension=16, words=WORDS, layers=1)
    task = make_task(dev=False)
    told = distillation(Student(base=str(narrow), epochs=20, learning_rate=5e-3, batch_size=8)).body(task)
    assert load_model(task.model).get_embedding_dimension() == 32
    assert told["cosine"] > 0.8
    assert told["dev"] is None


def test_layers_that_stay_are_spread_over_the_depth(tmp_path: Path) -> None:
    model = load_model(build_tiny_model(tmp_path, layers=6))
    before = layer_stack(model)
    assert before is not None
    numbers = {id(layer): number for number, layer in enumerate(before)}
    after = layer_stack(thinned(model, 3))
    assert after is not None
    assert [numbers[id(layer)] for layer in after] == [1, 3, 5]


def test_student_as_deep_as_its_teacher_is_refused(make_task: Callable[..., Task]) -> None:
    with pytest.raises(TrainingFailed, match=r"training\.student\.layers must be below .*\(2\), got 2"):
        distillation(Student(layers=2)).body(make_task())


def test_stopped_distillation_leaves_no_model(make_task: Callable[..., Task]) -> None:
    asked = iter([False] * 4)
    task = make_task(lambda: next(asked, True))
    with pytest.raises(JobCancelled):
        distillation(Student(layers=1)).body(task)
    assert not task.model.exists()


def test_recipe_with_a_student_registers_it_instead_of_the_tuned_model(make_task: Callable[..., Task]) -> None:
    config = make_task(student={"layers": 1, "epochs": 1}, max_steps=1).config
    assert needs_passages(config.settings)
    result = run_course(config, on_progress=lambda told: None, should_stop=lambda: False)
    assert result["model"] == str(config.out / "student" / "model")
    assert [one["step"] for one in result["course"]] == ["student"]
    stack = layer_stack(load_model(Path(result["model"])))
    assert stack is not None
    assert len(stack) == 1


@pytest.mark.parametrize("wrong", [{}, {"layers": 1, "base": "/models/small"}])
def test_student_starts_from_one_of_two(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either layers"):
        Student(**wrong)
