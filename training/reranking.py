"""Training a re-ranker: a cross-encoder that tells the relevant passage of a query from others.

Nogueira & Cho 2019, "Passage re-ranking with BERT"; the loss is binary cross-entropy over single pairs.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from transformers import PrinterCallback

from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.recipe.reranking import RerankerTraining
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from training.checkpoints import CURVE_FILE, open_checkpoints, sha256_of
from training.hardware import Hardware, hardware_here
from training.model_files import load_cross_encoder
from training.outcome import FinetuneResult, save
from training.pairs import read_training_set
from training.trainer import shared_arguments, threads
from training.watch import Curve, Progress, Watch

RERANKER = "reranker"

Row = tuple[str, str, float]


@dataclass(frozen=True)
class RerankerConfig:
    """What to train, from what, and where the result goes.

    Attributes:
        base: CrossEncoder or sentence-transformers folder with safetensors.
        out: Folder for `model/`, `training.json`, `curves.png` and, until the end, `checkpoints/`.
        training_set: File that `write_training_set` wrote.
        settings: The recipe.
    """

    base: Path
    out: Path
    training_set: Path
    settings: RerankerTraining

    def to_json(self) -> dict[str, Any]:
        return {
            "trains": RERANKER,
            "base": str(self.base),
            "out": str(self.out),
            "training_set": str(self.training_set),
            "settings": self.settings.model_dump(mode="json"),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> RerankerConfig:
        return cls(
            base=Path(raw["base"]),
            out=Path(raw["out"]),
            training_set=Path(raw["training_set"]),
            settings=RerankerTraining.model_validate(raw["settings"]),
        )


class _Trainer(CrossEncoderTrainer):
    """The library's trainer, less the model card that it would look up and write at every checkpoint."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        return

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self.model.save_pretrained(output_dir or self.args.output_dir, create_model_card=False)


def train_reranker(
    config: RerankerConfig, *, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> FinetuneResult:
    """Trains on the train split of a training set; the last weights are kept, for the gate to judge.

    Checkpoints go to `out/checkpoints`; a later call with the same configuration resumes from the last one and
    ends with the weights that an uninterrupted run would have had.

    Args:
        config: What to train.
        on_progress: Called after every step.
        should_stop: Asked after every step; True saves a checkpoint and ends.

    Raises:
        ModelRefused: The base is no safetensors transformer.
        TrainingFailed: The training set teaches nothing, `out` belongs to another configuration, or the weights
            diverged.
        JobCancelled: `should_stop` said so.
    """
    settings = config.settings
    hardware = hardware_here(settings.precision)
    pairs = [pair for pair in read_training_set(config.training_set) if pair.split is Split.TRAIN]
    rows = make_rows(pairs, settings.negatives, settings.seed)
    # The head of a model that had none is random: it must be the same one after a restart.
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = load_cross_encoder(config.base, device=hardware.device, outputs=1)
    model.max_seq_length = min(settings.max_tokens, model.max_seq_length or settings.max_tokens)

    folder = config.out / "checkpoints"
    last = open_checkpoints(folder, _identity(config))
    curve = Curve.read(last / CURVE_FILE) if last else Curve()
    watched = TrainingSettings(
        evaluations=settings.checkpoints, time_budget_seconds=settings.time_budget_seconds
    )
    # Only its weights are asked of the model, and only where a dev set validates them.
    watch = Watch(cast(SentenceTransformer, model), watched, None, curve, folder, on_progress, should_stop)
    with threads(settings.threads):
        trainer = _trainer(model, rows, settings, folder, hardware, watch)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if watch.stopped_by == "cancelled":
        step = trainer.state.global_step
        raise JobCancelled(f"training of the re-ranker was stopped at step {step}; it can be resumed")
    result = _result(config, watch, trainer.state, hardware)
    save(cast(SentenceTransformer, model), config.out, config.to_json(), result, hardware)
    shutil.rmtree(folder)
    return result


def make_rows(pairs: Sequence[TrainingPair], negatives: int, seed: int) -> list[Row]:
    """(query, passage, label) of each pair: its passage with 1, and up to `negatives` others with 0.

    Hard negatives come first. Others are drawn from the passages of the other pairs, never one that is relevant
    to the same query or a near duplicate of one.

    Raises:
        TrainingFailed: There is no pair, or none with a passage that is not relevant.
    """
    relevant: dict[str, set[str]] = {}
    for pair in pairs:
        relevant.setdefault(pair.anchor_key, set()).update((pair.positive, pair.cluster))
    drawn = random.Random(seed)
    rows: list[Row] = []
    for pair in pairs:
        known = relevant[pair.anchor_key] - {""}
        wrong = [text for text in dict.fromkeys(pair.negatives) if text not in known][:negatives]
        for other in drawn.sample(pairs, min(len(pairs), 4 * negatives)):
            if len(wrong) == negatives:
                break
            if not known & {other.positive, other.cluster} and other.positive not in wrong:
                wrong.append(other.positive)
        rows += [(pair.anchor, pair.positive, 1.0), *((pair.anchor, text, 0.0) for text in wrong)]
    if not any(label == 0 for *_, label in rows):
        raise TrainingFailed(
            f"a re-ranker needs passages that are not relevant, got none for {len(pairs)} pairs"
        )
    return rows


def _trainer(
    model: CrossEncoder,
    rows: Sequence[Row],
    settings: RerankerTraining,
    folder: Path,
    hardware: Hardware,
    watch: Watch,
) -> CrossEncoderTrainer:
    steps = max(1, math.ceil(settings.epochs * math.ceil(len(rows) / settings.batch_size)))
    right = sum(label for *_, label in rows)
    trainer = _Trainer(
        model=model,
        args=CrossEncoderTrainingArguments(**shared_arguments(settings, folder, steps, hardware)),
        train_dataset=Dataset.from_list(
            [{"query": query, "passage": passage, "label": label} for query, passage, label in rows]
        ),
        # Both labels weigh alike, however many negatives there are.
        loss=BinaryCrossEntropyLoss(model, pos_weight=torch.tensor((len(rows) - right) / right)),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _identity(config: RerankerConfig) -> dict[str, Any]:
    """What decides the weights: contents of base and training set, not where they lie."""
    return config.to_json() | {
        "out": "",
        "base": sha256_of([*config.base.rglob("*.safetensors")]),
        "training_set": sha256_of([config.training_set]),
    }


def _result(config: RerankerConfig, watch: Watch, state: Any, hardware: Hardware) -> FinetuneResult:
    return FinetuneResult(
        model=config.out / "model",
        steps=state.global_step,
        planned_steps=state.max_steps,
        seconds=round(watch.curve.seconds, 1),
        stopped_by=watch.stopped_by,
        loss=tuple(watch.curve.loss),
        dev=(),
        space=(),
        best_step=state.global_step,
        sweep=None,
        notes=(hardware.note,) if hardware.note else (),
    )
