"""The course of a training: from the base over its steps and the fine-tune to a candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from training.adaptation.step import adaptation_step
from training.distillation import distillation
from training.finetune import FinetuneConfig, Progress, finetune
from training.hardware import hardware_here
from training.outcome import not_tuned
from training.pairs import read_training_set
from training.scratch.step import from_scratch_steps
from training.static_tier import static_tier
from training.steps import Step, Task

FINETUNE_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """Steps in their order, around the fine-tune."""

    before: Sequence[Step] = field(default_factory=tuple)
    after: Sequence[Step] = field(default_factory=tuple)

    @property
    def weight(self) -> float:
        return FINETUNE_WEIGHT + sum(step.weight for step in (*self.before, *self.after))


def course_of(settings: TrainingSettings) -> Course:
    """The steps that a recipe asks for."""
    before: list[Step] = []
    if settings.from_scratch is not None:
        before += from_scratch_steps(settings.from_scratch)
    if settings.adaptation is not None:
        before.append(adaptation_step(settings.adaptation))
    after = [distillation(settings.student)] if settings.student is not None else []
    if settings.static is not None:
        after.append(static_tier(settings.static))
    return Course(before=before, after=after)


def needs_passages(settings: TrainingSettings) -> bool:
    """Whether some step reads the corpus' passages."""
    course = course_of(settings)
    return bool(course.before or course.after)


def run_course(
    config: FinetuneConfig, *, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Runs every step of the recipe; a run that was killed goes on in the step that it was in.

    Without a training pair there is no fine-tune, where another step makes a model.

    Args:
        config: What to train. Steps write below `config.out`, each into a folder of its name.
        on_progress: Called after every step of training and whenever something else has got further.
        should_stop: Asked often; True saves what can be resumed and ends.

    Returns:
        `FinetuneResult.to_json()` of the fine-tune, its `model` that of the last step, and the other steps'
        records in their order as `course`.

    Raises:
        ModelRefused: The base is no safetensors model.
        TrainingFailed: A step could not do its work; see `finetune`.
        JobCancelled: `should_stop` said so.
    """
    course = course_of(config.settings)
    span = FINETUNE_WEIGHT / course.weight
    walk = _Walk(config, on_progress, should_stop)
    base = walk.through(course.before, config.base, course.weight)
    start = walk.done
    if (course.before or course.after) and not _teaches(config.training_set):
        result = not_tuned(base, config.out, config.to_json(), hardware_here(config.settings.precision))
    else:
        result = finetune(
            replace(config, base=base),
            on_progress=lambda told: on_progress(replace(told, progress=start + span * told.progress)),
            should_stop=should_stop,
        )
    walk.done += span
    model = walk.through(course.after, result.model, course.weight)
    return result.to_json() | {"model": str(model), "course": walk.records}


def _teaches(training_set: Path) -> bool:
    return any(pair.split is Split.TRAIN for pair in read_training_set(training_set))


@dataclass(slots=True)
class _Walk:
    """One run of a course: how far it is, 0..1, and the records of its steps so far."""

    config: FinetuneConfig
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    done: float = 0.0
    records: list[dict[str, Any]] = field(default_factory=list)

    def through(self, steps: Sequence[Step], base: Path, weight: float) -> Path:
        """Runs steps, each on the model of the one before; returns the last one's."""
        for step in steps:
            task = self._task(step, base, step.weight / weight)
            self.records.append(step(task))
            self.done, base = self.done + step.weight / weight, task.model
        return base

    def _task(self, step: Step, base: Path, share: float) -> Task:
        start = self.done

        def tell(part: float) -> None:
            self.on_progress(Progress(start + share * part))

        return Task(base, self.config.out / step.name, self.config, tell, self.should_stop)
