"""The library's trainer as a fine-tune uses it: planned batches, few callbacks, the recipe's window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback

from embedloop.recipe.reranking import RerankerTraining
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.training import TrainingPair
from embedloop.static_models import set_window
from training import ranks
from training.batches import PlannedBatchSampler, Row, make_rows, plan_batches
from training.hardware import Hardware
from training.lengths import token_lengths
from training.losses import Table, make_loss, negatives_wanted, shares_documents, table_of
from training.prompts import Prompts
from training.schedule import budget_share, epochs_for, rate_share
from training.watch import Watch, save_weights

_LOSS_POINTS = 50
_WEIGHTS_FILE = "weights.safetensors"


class BudgetedTrainer(SentenceTransformerTrainer):
    """The library's trainer, less the model card that it would look up and write at every checkpoint.

    Its learning rate falls by the steps, and faster where the time budget ends before them.
    """

    def __init__(self, watch: Watch, time_budget_seconds: float, **parts: Any) -> None:
        self._watch = watch
        self._time_budget_seconds = time_budget_seconds
        super().__init__(callbacks=[watch], **parts)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        def share(step: int) -> float:
            planned = rate_share(step, num_training_steps, self.args.get_warmup_steps(num_training_steps))
            # One clock for all processes: with rates of their own their weights would part.
            seconds = ranks.from_first(lambda: self._watch.curve.seconds)
            return min(planned, budget_share(seconds, self._time_budget_seconds))

        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, share)
        return self.lr_scheduler

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        return

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # Weights alone: what is built beside the model's own, such as LoRA's, has no folder to be loaded from.
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.model, folder / _WEIGHTS_FILE)

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        self.model.load_state_dict(load_file(Path(checkpoint_path) / _WEIGHTS_FILE))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained on: rows, the table that the loss reads, and the batches of its lines."""

    rows: list[Row]
    table: Table
    sampler: PlannedBatchSampler


def planned(
    train: list[TrainingPair], model: SentenceTransformer, settings: TrainingSettings, prompts: Prompts
) -> Plan:
    """Rows and batches of the train split, by length in the model's tokens.

    Raises:
        TrainingFailed: The pairs teach nothing.
    """
    fewest, most = negatives_wanted(settings)
    rows = make_rows(train, most, settings.seed, at_least=fewest)
    lengths = token_lengths(model, rows, prompts.query, prompts.passage)
    share = shares_documents(settings.loss)
    batches = plan_batches(rows, settings.batch_size, settings.seed, lengths, share=share)
    table, lines = table_of(settings.loss, rows, batches)
    # Each process takes one batch a step, so that none waits for another at the end.
    lines += lines[: -len(lines) % ranks.count()]
    return Plan(rows, table, PlannedBatchSampler(lines, settings.seed))


def trainer_of(
    model: SentenceTransformer,
    plan: Plan,
    settings: TrainingSettings,
    prompts: Prompts,
    *,
    folder: Path,
    hardware: Hardware,
    watch: Watch,
) -> SentenceTransformerTrainer:
    """A trainer that is ready to train; its checkpoints go to `folder`, when `watch` asks for them."""
    trainer = BudgetedTrainer(
        watch,
        settings.time_budget_seconds,
        model=model,
        args=arguments(settings, folder, _steps(settings, plan), plan.sampler, hardware),
        train_dataset=_dataset(plan.table, prompts),
        loss=make_loss(settings, model),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@contextmanager
def threads(wanted: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def window(model: SentenceTransformer, max_tokens: int) -> Iterator[None]:
    """Texts are cut to `max_tokens` inside; the saved model keeps its own window."""
    own = model.max_seq_length
    set_window(model, min(max_tokens, own or max_tokens))
    try:
        yield
    finally:
        set_window(model, own)


def _dataset(table: Table, prompts: Prompts) -> Dataset:
    return Dataset.from_dict(
        {
            name: list(values)
            if name == "label"
            else [(prompts.query if name == "anchor" else prompts.passage) + text for text in values]
            for name, values in table.items()
        }
    )


def _steps(settings: TrainingSettings, plan: Plan) -> int:
    epochs = settings.epochs or epochs_for(len(plan.rows))
    steps = max(1, math.ceil(epochs * len(plan.sampler) / ranks.count()))
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def arguments(
    settings: TrainingSettings, folder: Path, steps: int, sampler: PlannedBatchSampler, hardware: Hardware
) -> SentenceTransformerTrainingArguments:
    """What the library is told: checkpoints go to `folder` when the callback asks, nothing is reported."""
    return SentenceTransformerTrainingArguments(
        **shared_arguments(settings, folder, steps, hardware),
        batch_sampler=lambda dataset, **kwargs: sampler,
    )


def shared_arguments(
    settings: TrainingSettings | RerankerTraining, folder: Path, steps: int, hardware: Hardware
) -> dict[str, Any]:
    """What every trainer of the library is told; see `arguments`."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "warmup_steps": math.ceil(settings.warmup_ratio * steps),
        "seed": settings.seed,
        "data_seed": settings.seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "save_total_limit": 2,
        "logging_strategy": "steps",
        "logging_steps": max(1, steps // _LOSS_POINTS),
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": hardware.device == "cpu",
        "bf16": hardware.numbers == "bf16",
        "fp16": hardware.numbers == "fp16",
        "dataloader_pin_memory": hardware.device != "cpu",
    }
