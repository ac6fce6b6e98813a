from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from benchmarks.clock import Clock
from benchmarks.clocked_trainer import clocked
from tests.tiny_model import build_tiny_model
from training.model_files import load_model


def test_clock_tells_the_share_of_the_budget_and_never_more_than_all() -> None:
    times = iter([100.0, 102.5, 120.0])
    clock = Clock(10.0, now=lambda: next(times))
    assert [clock.progress(), clock.progress()] == [0.25, 1.0]


def test_clock_without_time_is_at_its_end() -> None:
    assert Clock(-1.0).progress() == 1.0


def test_training_ends_with_the_clock_at_a_rate_of_zero(tmp_path: Path) -> None:
    model = load_model(build_tiny_model(tmp_path / "base"))
    running: list[Any] = []
    # A step takes a second.
    clock = Clock(20.0, now=lambda: float(running[0].state.global_step) if running else 0.0)
    kind: Any = clocked(clock, warmup_ratio=0.0)
    trainer = kind(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path / "out"),
            learning_rate=1e-3,
            per_device_train_batch_size=2,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_dict({"anchor": ["a b", "c", "d"], "positive": ["a", "c d", "e"]}),
        loss=MultipleNegativesRankingLoss(model),
    )
    running.append(trainer)
    trainer.train()
    assert trainer.state.global_step == 20
    assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(1e-3 / 20)
