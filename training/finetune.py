"""Fine-tuning: a base model and a frozen training set in, a candidate model out."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from transformers import PrinterCallback

from embedloop.errors import JobCancelled
from embedloop.policy import TrainingSettings
from embedloop.records import Split, TrainingPair
from training import ranks
from training.batches import PlannedBatchSampler, Row, make_rows, plan_batches
from training.checkpoints import CURVE_FILE, open_checkpoints, sha256_of
from training.general import read_general_sets
from training.hardware import Hardware, hardware_here
from training.layers import prepared
from training.leakage import Measured, check_leakage
from training.losses import Table, make_loss, negatives_wanted, table_of
from training.merging import Sweep
from training.model_files import load_model
from training.outcome import FinetuneResult, save
from training.pairs import read_training_set
from training.sweep import Prompts, sweep
from training.validation import DevSet
from training.watch import Curve, Progress, Watch

__all__ = ["FinetuneConfig", "FinetuneResult", "Progress", "finetune"]

_LOSS_POINTS = 50
# Of the progress that is told; the rest is the sweep.
_TRAINING_SHARE = 0.9


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
        general: File that `write_general_sets` wrote, for the alpha sweep; None measures no forgetting.
        max_general_drop: Most nDCG@10 that the merged model may lose on it.
    """

    base: Path
    out: Path
    training_set: Path
    settings: TrainingSettings
    query_prompt: str
    passage_prompt: str
    general: Path | None = None
    max_general_drop: float = 0.01

    def to_json(self) -> dict[str, Any]:
        return {
            "base": str(self.base),
            "out": str(self.out),
            "training_set": str(self.training_set),
            "settings": self.settings.model_dump(mode="json"),
            "query_prompt": self.query_prompt,
            "passage_prompt": self.passage_prompt,
            "general": None if self.general is None else str(self.general),
            "max_general_drop": self.max_general_drop,
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
            general=None if raw["general"] is None else Path(raw["general"]),
            max_general_drop=raw["max_general_drop"],
        )


class _Trainer(SentenceTransformerTrainer):
    """The library's trainer, less the model card that it would look up and write at every checkpoint."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        return

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self.model.save_pretrained(output_dir or self.args.output_dir, create_model_card=False)


def finetune(
    config: FinetuneConfig, *, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> FinetuneResult:
    """Trains with the loss of the policy, then merges with the base so that little is forgotten.

    Checkpoints go to `out/checkpoints`; a later call with the same configuration resumes from the last one
    and ends with the weights that an uninterrupted run would have had. Where `training.ranks.command` started
    several processes, each calls this with the same configuration; only the first merges and saves.

    Args:
        config: What to train.
        on_progress: Called after every step.
        should_stop: Asked after every step; True saves a checkpoint and ends.

    Raises:
        ModelRefused: The base is no safetensors model.
        TrainingFailed: The training set teaches nothing or leaks, `out` belongs to another configuration, the
            recipe does not fit the model, or the weights diverged.
        JobCancelled: `should_stop` said so.
    """
    settings = config.settings
    hardware = hardware_here(settings.precision)
    ranks.join(hardware.device)
    model = load_model(config.base, device=hardware.device)
    before = {name: one.detach().clone() for name, one in model.state_dict().items()}
    train, held_out = _pairs(config.training_set)
    dev = DevSet(held_out, train, config.query_prompt, config.passage_prompt) if held_out else None
    rows, table, sampler = _planned(train, settings)

    folder = config.out / "checkpoints"
    last = ranks.from_first(lambda: open_checkpoints(folder, _identity(config)))
    curve = Curve.read(last / CURVE_FILE) if last else Curve()

    def tell(progress: Progress) -> None:
        on_progress(replace(progress, progress=_TRAINING_SHARE * progress.progress))

    watch = Watch(model, settings, dev, curve, folder, tell, should_stop)
    with _threads(settings.threads), _window(model, settings.max_tokens), prepared(model, settings):
        trainer = _Trainer(
            model=model,
            args=_arguments(settings, folder, sampler, hardware),
            train_dataset=_dataset(table, config),
            loss=make_loss(settings, model),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        if watch.stopped_by == "cancelled":
            step = trainer.state.global_step
            raise JobCancelled(f"fine-tuning was stopped at step {step}; it can be resumed")
        ranks.leave()
        watch.restore_best()
        merged = _merged(config, model, before, dev, watch, on_progress, should_stop)
    result = _result(config, watch, trainer.state, rows, merged, hardware)
    if ranks.is_first():
        save(model, config.out, config.to_json(), result, hardware)
        shutil.rmtree(folder)
    return result


def _pairs(path: Path) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """The train and the dev split."""
    pairs = read_training_set(path)
    # The golden queries are not here; whoever froze the set compared it with them.
    check_leakage(pairs, Measured(golden=(), dev=(), similarity=1.0))
    splits = (Split.TRAIN, Split.DEV)
    train, dev = ([pair for pair in pairs if pair.split is split] for split in splits)
    return train, dev


def _planned(
    train: list[TrainingPair], settings: TrainingSettings
) -> tuple[list[Row], Table, PlannedBatchSampler]:
    fewest, most = negatives_wanted(settings)
    rows = make_rows(train, most, settings.seed, at_least=fewest)
    batches = plan_batches(rows, settings.batch_size, settings.seed)
    table, lines = table_of(settings.loss, rows, batches)
    # Each process takes one batch a step, so that none waits for another at the end.
    lines += lines[: -len(lines) % ranks.count()]
    return rows, table, PlannedBatchSampler(lines, settings.seed)


@contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _window(model: SentenceTransformer, max_tokens: int) -> Iterator[None]:
    """Texts are cut to `max_tokens` inside; the saved model keeps its own window."""
    window = model.max_seq_length
    model.max_seq_length = min(max_tokens, window or max_tokens)
    try:
        yield
    finally:
        model.max_seq_length = window


def _dataset(table: Table, config: FinetuneConfig) -> Dataset:
    prompts = {"anchor": config.query_prompt}
    return Dataset.from_dict(
        {
            name: list(values)
            if name == "label"
            else [prompts.get(name, config.passage_prompt) + text for text in values]
            for name, values in table.items()
        }
    )


def _arguments(
    settings: TrainingSettings, folder: Path, sampler: PlannedBatchSampler, hardware: Hardware
) -> SentenceTransformerTrainingArguments:
    steps = max(1, math.ceil(settings.epochs * len(sampler) / ranks.count()))
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
        use_cpu=hardware.device == "cpu",
        bf16=hardware.numbers == "bf16",
        fp16=hardware.numbers == "fp16",
        dataloader_pin_memory=hardware.device != "cpu",
    )


def _identity(config: FinetuneConfig) -> dict[str, Any]:
    """What decides the weights of training: contents of base and training set, not where they lie."""
    return config.to_json() | {
        "out": "",
        "general": "",
        "base": sha256_of([*config.base.rglob("*.safetensors")]),
        "training_set": sha256_of([config.training_set]),
    }


def _merged(
    config: FinetuneConfig,
    model: SentenceTransformer,
    before: dict[str, torch.Tensor],
    dev: DevSet | None,
    watch: Watch,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Sweep | None:
    """The sweep that the policy asks for; the chosen weights stay in the model."""
    alphas = config.settings.merge_alphas
    general = [] if config.general is None else read_general_sets(config.general)
    best = watch.curve.best
    if not ranks.is_first() or not alphas or (best is None and not general):
        return None
    last = watch.last

    def tell(share: float) -> None:
        if should_stop():
            raise JobCancelled(f"fine-tuning was stopped in the alpha sweep, at {share:.0%}; it can be resumed")
        on_progress(replace(last, progress=_TRAINING_SHARE + (1 - _TRAINING_SHARE) * share))

    return sweep(
        model,
        before,
        alphas,
        dev=dev,
        known_dev=None if best is None else (watch.curve.dev[0][1], best[1]),
        general=general,
        prompts=Prompts(config.query_prompt, config.passage_prompt),
        max_general_drop=config.max_general_drop,
        on_point=tell,
    )


def _result(
    config: FinetuneConfig, watch: Watch, state: Any, rows: list[Row], merged: Sweep | None, hardware: Hardware
) -> FinetuneResult:
    best, notes = watch.curve.best, [hardware.note] if hardware.note else []
    if not watch.curve.dev:
        notes.append("no dev split: nothing was validated and the last weights were kept")
    elif best is not None and best[1] < watch.curve.dev[0][1]:
        notes.append(f"dev nDCG@10 fell from {watch.curve.dev[0][1]:.4f} (base) to {best[1]:.4f}")
    if config.settings.hard_negatives and not rows[0].negatives:
        notes.append("no hard negatives were given: in-batch negatives only")
    if merged is not None:
        notes.append(f"merged with the base at alpha {merged.alpha:g}: {merged.reason}")
    return FinetuneResult(
        model=config.out / "model",
        steps=state.global_step,
        planned_steps=state.max_steps,
        seconds=round(watch.curve.seconds, 1),
        stopped_by=watch.stopped_by,
        loss=tuple(watch.curve.loss),
        dev=tuple(watch.curve.dev),
        space=tuple(watch.curve.space),
        best_step=best[0] if best else state.global_step,
        sweep=merged,
        notes=tuple(notes),
    )
