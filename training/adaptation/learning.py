"""Training on passages alone, by the trainer of the fine-tune: seeded, budgeted, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model as save_weights
from sentence_transformers import SentenceTransformer
from transformers import PrinterCallback

from embedloop.encoder import Vectors
from embedloop.errors import JobCancelled
from embedloop.recipe.adaptation import Objective
from embedloop.recipe.settings import TrainingSettings
from training.adaptation.crops import CroppedTwiceLoss
from training.adaptation.mlm import MaskedLanguageModelLoss
from training.adaptation.simcse import TwiceDroppedOutLoss
from training.adaptation.tsdae import DamagedCopyLoss
from training.batches import ReplannedBatchSampler
from training.checkpoints import CURVE_FILE, open_checkpoints
from training.hardware import Hardware
from training.layers import prepared
from training.lengths import count_tokens
from training.model_files import load_model, transformer_of
from training.outcome import save_trained
from training.teacher import SameVectorLoss
from training.trainer import BudgetedTrainer, arguments, threads, window
from training.watch import Curve, Progress, StoppedBy, Watch

CHECKPOINTS = 10
OBJECTIVE_FILE = "objective.safetensors"

_LOSSES: Mapping[Objective, Callable[[SentenceTransformer], torch.nn.Module]] = {
    "mlm": MaskedLanguageModelLoss,
    "tsdae": DamagedCopyLoss,
    "simcse": TwiceDroppedOutLoss,
    "crops": CroppedTwiceLoss,
    "align": SameVectorLoss,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is learnt from passages, and for how long; the fields are those of `Adaptation`."""

    objective: Objective
    epochs: float
    max_steps: int | None
    batch_size: int
    learning_rate: float
    max_tokens: int
    time_budget_seconds: float


@dataclass(frozen=True, slots=True)
class Learned:
    """How a training on passages went; `loss` are (step, loss) points."""

    objective: Objective
    passages: int
    steps: int
    planned_steps: int
    stopped_by: StoppedBy
    loss: tuple[tuple[int, float], ...]


def learn(
    base: Path,
    target: Path,
    texts: Sequence[str],
    plan: Plan,
    settings: TrainingSettings,
    *,
    hardware: Hardware,
    on_progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    wanted: Vectors | None = None,
) -> Learned:
    """Trains a model on texts by one objective, and writes it whole or not at all.

    Checkpoints lie in `checkpoints` beside `target`, with the objective's own weights; a later call with the
    same base, texts and settings resumes from the last one.

    Args:
        base: Model folder.
        target: The new model folder.
        texts: Different passages, redacted, as they are embedded.
        plan: What is learnt, and for how long.
        settings: The rest of the recipe: seed, threads, precision, dropout.
        hardware: Where.
        on_progress: Takes the share that is done, 0..1, after every step.
        should_stop: Asked after every step; True saves a checkpoint and ends.
        wanted: Of the objective `align`: the vectors of the texts, (n, dim) float32, L2-normalised.

    Raises:
        TrainingFailed: The model is no transformer, the objective does not fit it, or the weights diverged.
        JobCancelled: `should_stop` said so.
    """
    recipe = _recipe(settings, plan)
    model = load_model(base, device=hardware.device)
    transformer_of(model)
    folder = target.with_name("checkpoints")
    last = open_checkpoints(folder, {"plan": asdict(plan), "settings": recipe.model_dump()})
    curve = Curve.read(last / CURVE_FILE) if last else Curve()

    def tell(progress: Progress) -> None:
        on_progress(progress.progress)

    watch = Watch(model, recipe, None, curve, folder, tell, should_stop)
    with threads(recipe.threads), window(model, recipe.max_tokens), prepared(model, recipe):
        sampler = ReplannedBatchSampler(_lengths(model, texts), recipe.batch_size, recipe.seed)
        trainer = _AdaptationTrainer(
            watch,
            recipe.time_budget_seconds,
            model=model,
            args=arguments(recipe, folder, _steps(plan, len(sampler)), sampler, hardware),
            train_dataset=_dataset(texts, wanted),
            loss=_made(plan.objective, model, recipe.seed),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if watch.stopped_by == "cancelled":
        raise JobCancelled(
            f"learning from passages was stopped at step {trainer.state.global_step}; it can be resumed"
        )
    save_trained(model, target, recipe.learning_rate)
    return Learned(
        objective=plan.objective,
        passages=len(texts),
        steps=trainer.state.global_step,
        planned_steps=trainer.state.max_steps,
        stopped_by=watch.stopped_by,
        loss=tuple(watch.curve.loss),
    )


class _AdaptationTrainer(BudgetedTrainer):
    """Keeps the objective's own weights with each checkpoint: a head or a decoder begins at random."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        save_weights(self.loss, str(Path(output_dir or self.args.output_dir) / OBJECTIVE_FILE))

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        load_weights(self.loss, str(Path(checkpoint_path) / OBJECTIVE_FILE))


def _recipe(settings: TrainingSettings, plan: Plan) -> TrainingSettings:
    """The recipe of the fine-tune with what the plan says in its place; nothing is frozen."""
    own = ("max_steps", "batch_size", "learning_rate", "max_tokens", "time_budget_seconds")
    changed = {name: getattr(plan, name) for name in own} | {
        "freeze_embeddings": False,
        "freeze_layers": 0,
        "evaluations": CHECKPOINTS,
    }
    if plan.objective == "simcse":
        changed["dropout"] = None
    return settings.model_copy(update=changed)


def _dataset(texts: Sequence[str], wanted: Vectors | None) -> Dataset:
    labels = {} if wanted is None else {"label": list(wanted)}
    return Dataset.from_dict({"text": list(texts), **labels})


def _made(objective: Objective, model: SentenceTransformer, seed: int) -> torch.nn.Module:
    """The loss, with its new weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _LOSSES[objective](model)


def _steps(plan: Plan, batches: int) -> int:
    steps = max(1, math.ceil(plan.epochs * batches))
    return steps if plan.max_steps is None else min(steps, plan.max_steps)


def _lengths(model: SentenceTransformer, texts: Sequence[str]) -> list[int]:
    counted = count_tokens(model, texts)
    return [counted[text] for text in texts]
