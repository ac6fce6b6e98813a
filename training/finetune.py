"""Fine-tuning: a base model and a frozen training set in, a candidate model out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import (
    SentenceTransformer,
)

from embedloop.errors import JobCancelled
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from training import ranks
from training.batches import Row
from training.checkpoints import CURVE_FILE, open_checkpoints, sha256_of
from training.general import read_general_sets
from training.hardware import Hardware, hardware_here
from training.layers import prepared
from training.leakage import Measured, check_leakage
from training.lora import low_rank
from training.merging import Sweep
from training.model_files import load_model
from training.outcome import FinetuneResult, save
from training.pairs import read_training_set
from training.prompts import Prompts
from training.sweep import sweep
from training.trainer import planned, threads, trainer_of, window
from training.truncation import check_dimension, cut_to
from training.validation import DevSet
from training.watch import Curve, Progress, Watch

__all__ = ["FinetuneConfig", "FinetuneResult", "Progress", "finetune"]

# Of the progress that is told; the rest is the sweep.
TRAINING_SHARE = 0.9


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
        passages: File with texts of the corpus as they are embedded, a JSON string a line, for steps that
            learn from them.
    """

    base: Path
    out: Path
    training_set: Path
    settings: TrainingSettings
    query_prompt: str
    passage_prompt: str
    general: Path | None = None
    max_general_drop: float = 0.01
    passages: Path | None = None

    @property
    def prompts(self) -> Prompts:
        return Prompts(self.query_prompt, self.passage_prompt)

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
            "passages": None if self.passages is None else str(self.passages),
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
            passages=None if raw["passages"] is None else Path(raw["passages"]),
        )


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
    check_dimension(model, settings.dimension)
    before = {name: one.detach().clone() for name, one in model.state_dict().items()}
    train, held_out = _pairs(config.training_set)
    prompts = (config.query_prompt, config.passage_prompt)
    dev = DevSet(held_out, train, *prompts, settings.dimension) if held_out else None
    with window(model, settings.max_tokens):
        plan = planned(train, model, settings, config.prompts)

    folder = config.out / "checkpoints"
    last = ranks.from_first(lambda: open_checkpoints(folder, _identity(config)))
    curve = Curve.read(last / CURVE_FILE) if last else Curve()

    def tell(progress: Progress) -> None:
        on_progress(replace(progress, progress=TRAINING_SHARE * progress.progress))

    watch = Watch(model, settings, dev, curve, folder, tell, should_stop)
    with (
        threads(settings.threads),
        window(model, settings.max_tokens),
        prepared(model, settings),
        low_rank(model, settings) as adapter,
    ):
        trainer = trainer_of(
            model, plan, settings, config.prompts, folder=folder, hardware=hardware, watch=watch
        )
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        if watch.stopped_by == "cancelled":
            step = trainer.state.global_step
            raise JobCancelled(f"fine-tuning was stopped at step {step}; it can be resumed")
        ranks.leave()
        watch.restore_best()
        adapter.merge()
        merged = _merged(config, model, before, dev, watch, on_progress, should_stop)
    result = _result(config, watch, trainer.state, plan.rows, merged, hardware)
    if ranks.is_first():
        cut_to(model, settings.dimension)
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


def _identity(config: FinetuneConfig) -> dict[str, Any]:
    """What decides the weights of training: contents of base and training set, not where they lie."""
    return config.to_json() | {
        "out": "",
        "general": "",
        "passages": "",
        "max_general_drop": 0.0,
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
        on_progress(replace(last, progress=TRAINING_SHARE + (1 - TRAINING_SHARE) * share))

    return sweep(
        model,
        before,
        alphas,
        dev=dev,
        known_dev=None if best is None else (watch.curve.dev[0][1], best[1]),
        general=general,
        prompts=config.prompts,
        max_general_drop=config.max_general_drop,
        dimension=config.settings.dimension,
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
