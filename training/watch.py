"""Between two steps of a fine-tune: progress, validation, checkpoints, and the reasons to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from embedloop.recipe.settings import TrainingSettings
from training import ranks
from training.checkpoints import CURVE_FILE
from training.validation import DevSet

StoppedBy = Literal["steps", "time_budget", "patience", "cancelled"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a course is, 0..1; the rest is of its fine-tune, `loss` and `dev` (nDCG@10) the latest known."""

    progress: float
    step: int = 0
    steps: int = 0
    loss: float | None = None
    dev: float | None = None


@dataclass(slots=True)
class Curve:
    """What was measured so far: (step, value) points, and the seconds spent; kept in each checkpoint.

    `space` holds the fields of `training.space.Space`, measured with `dev`.
    """

    loss: list[tuple[int, float]] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    space: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best(self) -> tuple[int, float] | None:
        """The best trained point, the later of equals; the base model (step 0) is no candidate."""
        trained = [point for point in self.dev if point[0] > 0]
        return max(trained, key=lambda point: (point[1], point[0]), default=None)

    def write(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Curve:
        raw = json.loads(path.read_text())
        return cls(
            loss=[(at, value) for at, value in raw["loss"]],
            dev=[(at, value) for at, value in raw["dev"]],
            space=[(at, value) for at, value in raw["space"]],
            seconds=raw["seconds"],
        )


class Watch(TrainerCallback):
    """Follows one run of the trainer, in each of its processes.

    Validates and saves a checkpoint at `settings.evaluations` evenly spaced steps; keeps the weights of the
    best point in `best`; stops when asked to, when the time is spent, or after `settings.patience`
    evaluations that fall below the best so far (the base model's score included).
    """

    def __init__(
        self,
        model: SentenceTransformer,
        settings: TrainingSettings,
        dev: DevSet | None,
        curve: Curve,
        folder: Path,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.stopped_by: StoppedBy = "steps"
        self.last = Progress(progress=0.0, step=0, steps=0)
        self.curve = curve
        self._model = model
        self._settings = settings
        self._dev = dev
        self._folder = folder
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._started = time.monotonic() - curve.seconds

    @property
    def best_weights(self) -> Path:
        return self._folder / "best.safetensors"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._dev is not None and not self.curve.dev:
            self._measure(self._dev, 0)
        self._report(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step, steps = state.global_step, state.max_steps
        self.curve.seconds = time.monotonic() - self._started
        if ranks.any_of(self._should_stop()):
            self.stopped_by = "cancelled"
        elif ranks.any_of(step < steps and self.curve.seconds >= self._settings.time_budget_seconds):
            self.stopped_by = "time_budget"
        if self.stopped_by != "cancelled" and (self._due(step, steps) or self.stopped_by == "time_budget"):
            self._validate(step, steps)
            control.should_save = True
        if self.stopped_by == "cancelled":
            control.should_save = True
        control.should_training_stop = control.should_training_stop or self.stopped_by != "steps"
        self._report(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.curve.loss.append((state.global_step, float(logs["loss"])))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.curve.seconds = time.monotonic() - self._started
        if ranks.is_first():
            self.curve.write(self._folder / f"checkpoint-{state.global_step}" / CURVE_FILE)

    def restore_best(self) -> None:
        """Puts the weights of the best point back into the model."""
        if self.curve.best is not None and self.best_weights.is_file():
            self._model.load_state_dict(load_file(self.best_weights))

    def _measure(self, dev: DevSet, step: int) -> None:
        score, space = ranks.from_first(lambda: dev.measure(self._model))
        self.curve.dev.append((step, score))
        self.curve.space.append((step, asdict(space)))

    def _due(self, step: int, steps: int) -> bool:
        evaluations = min(self._settings.evaluations, steps)
        return any(step == -(-steps * number // evaluations) for number in range(1, evaluations + 1))

    def _validate(self, step: int, steps: int) -> None:
        if self._dev is None:
            return
        self._measure(self._dev, step)
        if ranks.is_first() and self.curve.best is not None and self.curve.best[0] == step:
            save_weights(self._model, self.best_weights)
        highest, below = 0.0, 0
        for _, value in self.curve.dev:
            below = below + 1 if value < highest else 0
            highest = max(highest, value)
        if below >= self._settings.patience and step < steps and self.stopped_by == "steps":
            self.stopped_by = "patience"

    def _report(self, state: Any) -> None:
        self.last = Progress(
            progress=state.global_step / max(1, state.max_steps),
            step=state.global_step,
            steps=state.max_steps,
            loss=self.curve.loss[-1][1] if self.curve.loss else None,
            dev=self.curve.dev[-1][1] if self.curve.dev else None,
        )
        self._on_progress(self.last)


def save_weights(model: SentenceTransformer, path: Path) -> None:
    """Writes every weight by its name in the state dict, as safetensors."""
    # Copies: safetensors refuses weights that share memory.
    save_file({name: one.clone() for name, one in model.state_dict().items()}, path)
