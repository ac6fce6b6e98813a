"""A course's first step where the recipe begins from scratch: a base made from the corpus alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedloop.errors import InvalidInput
from embedloop.records import Split
from training.pairs import read_training_set
from training.passages import read_passages
from training.scratch.static_model import build_static_model
from training.steps import Task


def build_from_scratch(task: Task) -> Mapping[str, Any]:
    """Leaves a model made from the passages and the training pairs; the base of the task is not read.

    A pair is one text more, query and document together: so the words of queries, also of another language
    than the documents', lie beside those that they ask for (Dumais et al. 1997, cross-language LSI).

    Raises:
        InvalidInput: The recipe does not begin from scratch.
        TrainingFailed: The texts are too few.
        JobCancelled: The task was stopped.
    """
    settings = task.config.settings.from_scratch
    if settings is None:
        raise InvalidInput("training.from_scratch must be given, got none", field="training.from_scratch")
    pairs = [one for one in read_training_set(task.config.training_set) if one.split is Split.TRAIN]
    together = [f"{pair.anchor}\n{pair.positive}" for pair in pairs if pair.positive]
    told = build_static_model(
        read_passages(task.config.passages) + together,
        settings,
        task.model,
        on_progress=task.on_progress,
        should_stop=task.should_stop,
    )
    return {"method": settings.method, "pairs": len(together), **told}
