from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from embedloop.recipe.settings import Precision
from tests.unit.training.conftest import run
from training.finetune import FinetuneConfig
from training.hardware import choose_hardware, hardware_here

MakeConfig = Callable[..., FinetuneConfig]


@pytest.mark.parametrize(
    ("wanted", "cuda", "bf16", "numbers", "told"),
    [
        ("auto", True, True, "bf16", False),
        ("auto", True, False, "fp16", False),
        ("auto", False, False, "fp32", False),
        ("bf16", True, True, "bf16", False),
        ("bf16", True, False, "fp16", True),
        ("bf16", False, False, "fp32", True),
        ("fp16", True, True, "fp16", False),
        ("fp16", False, False, "fp32", True),
        ("fp32", True, True, "fp32", False),
        ("fp32", False, False, "fp32", False),
    ],
)
def test_numbers_are_what_was_asked_for_or_the_next_that_is_there(
    wanted: Precision, cuda: bool, bf16: bool, numbers: str, told: bool
) -> None:
    hardware = choose_hardware(wanted, cuda=cuda, bf16=bf16)
    assert hardware.numbers == numbers
    assert hardware.device == ("cuda" if cuda else "cpu")
    assert (hardware.note is not None) == told


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_mixed_precision_without_a_gpu_trains_in_fp32_and_says_so(make_config: MakeConfig) -> None:
    config = make_config(epochs=1, precision="bf16")
    result = run(config)
    assert any("bf16 needs a GPU" in note for note in result.notes)
    record = json.loads((config.out / "training.json").read_text())
    assert record["environment"]["device"]["numbers"] == "fp32"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_is_used_where_there_is_one(make_config: MakeConfig) -> None:
    result = run(make_config(epochs=8))
    assert hardware_here("auto").device.startswith("cuda")
    assert dict(result.dev)[result.best_step] > result.dev[0][1] + 0.3
