"""Fine-tuning: a base model and a frozen training set in, a candidate model out."""

from __future__ import annotations

import json
import math
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import PrinterCallback

from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.policy import TrainingSettings
from embedloop.records import Split
from training.batches import PlannedBatchSampler, Row, columns_of, make_rows, plan_batches
from training.checkpoints import CURVE_FILE, open_checkpoints, sha256_of
from training.model_files import load_model
from training.pairs import check_leakage, read_training_set
from training.validation import DevSet
from training.watch import Curve, Progress, StoppedBy, Watch

__all__ = ["FinetuneConfig", "FinetuneResult", "Progress", "finetune"]

_LOSS_POINTS = 50


@dataclass(frozen=True)
class FinetuneConfig:
    """What to train, from what, and where the result goes.

    Attributes:
        base: sentence-transformers folder with safetensors.
        out: Folder for `model/`, `training.json` and, until the end, `checkpoints/`.
        training_set: File that `write_training_set` wrote.
        settings: The recipe.
        query_prompt: Put before every query, as the encoder does.
        passage_prompt: Put before every document text, as the encoder does.
    """

    base: Path
    out: Path
    training_set: Path
    settings: TrainingSettings
    query_prompt: str
    passage_prompt: str

    def to_json(self) -> dict[str, Any]:
        return {
            "base": str(self.base),
            "out": str(self.out),
            "training_set": str(self.training_set),
            "settings": self.settings.model_dump(mode="json"),
            "query_prompt": self.query_prompt,
            "passage_prompt": self.passage_prompt,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> FinetuneConfig:
        return cls(
            base=Path(raw["base"]),
            out=Path(raw["out"]),
            training_set=Path(raw["training_set"]),
            settings=TrainingSettings.model_validate(raw["settings"]),
            query_prompt=raw["query_prompt"],
            passage_prompt=raw["passage_prompt"],
        )


@dataclass(frozen=True)
class FinetuneResult:
    """A trained model and how it came about.

    Attributes:
        model: The saved sentence-transformers folder.
        steps: Steps trained, of `planned_steps`.
        seconds: Time spent, over all resumptions.
        stopped_by: Why it ended.
        loss: (step, training loss) points.
        dev: (step, nDCG@10 on dev) points; the first is the base model's. Empty without a dev split.
        best_step: The step whose weights were kept.
        notes: What the reader should know, in words.
    """

    model: Path
    steps: int
    planned_steps: int
    seconds: float
    stopped_by: StoppedBy
    loss: tuple[tuple[int, float], ...]
    dev: tuple[tuple[int, float], ...]
    best_step: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"model": str(self.model)}


class _Trainer(SentenceTransformerTrainer):
    """The library's trainer, less the model card that it would look up and write at every checkpoint."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        return

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self.model.save_pretrained(output_dir or self.args.output_dir, create_model_card=False)


def finetune(
    config: FinetuneConfig, *, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> FinetuneResult:
    """Trains with in-batch and hard negatives (MultipleNegativesRankingLoss; Henderson et al. 2017).

    Checkpoints go to `out/checkpoints`; a later call with the same configuration resumes from the last one
    and ends with the weights that an uninterrupted run would have had. Runs on the CPU.

    Args:
        config: What to train.
        on_progress: Called after every step.
        should_stop: Asked after every step; True saves a checkpoint and ends.

    Raises:
        ModelRefused: The base is no safetensors model.
        TrainingFailed: The training set teaches nothing or leaks, `out` belongs to another configuration, or
            the weights diverged.
        JobCancelled: `should_stop` said so.
    """
    settings = config.settings
    model = load_model(config.base)
    pairs = read_training_set(config.training_set)
    check_leakage(pairs, golden_queries=())
    train = [pair for pair in pairs if pair.split is Split.TRAIN]
    held_out = [pair for pair in pairs if pair.split is Split.DEV]
    dev = DevSet(held_out, train, config.query_prompt, config.passage_prompt) if held_out else None
    rows = make_rows(train, settings.hard_negatives, settings.seed)
    sampler = PlannedBatchSampler(plan_batches(rows, settings.batch_size, settings.seed), settings.seed)

    folder = config.out / "checkpoints"
    last = open_checkpoints(folder, _identity(config))
    curve = Curve.read(last / CURVE_FILE) if last else Curve()
    watch = Watch(model, settings, dev, curve, folder, on_progress, should_stop)
    window = model.max_seq_length
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    model.max_seq_length = min(settings.max_tokens, window or settings.max_tokens)
    try:
        trainer = _Trainer(
            model=model,
            args=_arguments(settings, folder, sampler),
            train_dataset=_dataset(rows, config),
            loss=MultipleNegativesRankingLoss(model),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        model.max_seq_length = window
        torch.set_num_threads(threads)
    if watch.stopped_by == "cancelled":
        raise JobCancelled(f"fine-tuning was stopped at step {trainer.state.global_step}; it can be resumed")
    watch.restore_best()
    result = _result(config, watch, trainer.state.global_step, trainer.state.max_steps, rows)
    _save(model, config, result)
    shutil.rmtree(folder)
    return result


def _dataset(rows: list[Row], config: FinetuneConfig) -> Dataset:
    columns = columns_of(rows)
    return Dataset.from_dict(
        {
            name: [
                (config.query_prompt if name == "anchor" else config.passage_prompt) + text for text in texts
            ]
            for name, texts in columns.items()
        }
    )


def _arguments(
    settings: TrainingSettings, folder: Path, sampler: PlannedBatchSampler
) -> SentenceTransformerTrainingArguments:
    steps = max(1, math.ceil(settings.epochs * len(sampler)))
    if settings.max_steps is not None:
        steps = min(steps, settings.max_steps)
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=math.ceil(settings.warmup_ratio * steps),
        lr_scheduler_type="linear",
        batch_sampler=lambda dataset, **kwargs: sampler,
        seed=settings.seed,
        data_seed=settings.seed,
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=max(1, steps // _LOSS_POINTS),
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )


def _identity(config: FinetuneConfig) -> dict[str, Any]:
    """What decides the weights: contents of base and training set, not where they lie."""
    return config.to_json() | {
        "out": "",
        "base": sha256_of([*config.base.rglob("*.safetensors")]),
        "training_set": sha256_of([config.training_set]),
    }


def _result(config: FinetuneConfig, watch: Watch, steps: int, planned: int, rows: list[Row]) -> FinetuneResult:
    best, notes = watch.curve.best, []
    if not watch.curve.dev:
        notes.append("no dev split: nothing was validated and the last weights were kept")
    elif best is not None and best[1] < watch.curve.dev[0][1]:
        notes.append(f"dev nDCG@10 fell from {watch.curve.dev[0][1]:.4f} (base) to {best[1]:.4f}")
    if config.settings.hard_negatives and not rows[0].negatives:
        notes.append("no hard negatives were given: in-batch negatives only")
    return FinetuneResult(
        model=config.out / "model",
        steps=steps,
        planned_steps=planned,
        seconds=round(watch.curve.seconds, 1),
        stopped_by=watch.stopped_by,
        loss=tuple(watch.curve.loss),
        dev=tuple(watch.curve.dev),
        best_step=best[0] if best else steps,
        notes=tuple(notes),
    )


def _save(model: SentenceTransformer, config: FinetuneConfig, result: FinetuneResult) -> None:
    """Writes model and record; the model appears whole or not at all."""
    if not all(bool(torch.isfinite(one).all()) for one in model.parameters()):
        raise TrainingFailed(
            f"training diverged at learning_rate {config.settings.learning_rate}: weights are not finite"
        )
    partial = config.out / "model.partial"
    for leftover in (partial, result.model):
        shutil.rmtree(leftover, ignore_errors=True)
    model.save_pretrained(str(partial), create_model_card=False, safe_serialization=True)
    partial.rename(result.model)
    packages = (
        "torch",
        "transformers",
        "sentence-transformers",
        "datasets",
        "accelerate",
        "tokenizers",
        "numpy",
    )
    record = {
        "config": config.to_json(),
        "result": result.to_json(),
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "threads": config.settings.threads or torch.get_num_threads(),
            "packages": {name: version(name) for name in packages},
        },
    }
    (config.out / "training.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
