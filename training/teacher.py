"""Vectors that another model is to learn: of many texts, by a step that can be stopped meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sentence_transformers import SentenceTransformer

from embedloop.encoder import Vectors
from embedloop.errors import JobCancelled
from training.steps import Task
from training.validation import encode

_CHUNK = 256


def encode_while_wanted(
    model: SentenceTransformer,
    texts: Sequence[str],
    task: Task,
    tell: Callable[[float], None] = lambda share: None,
) -> Vectors:
    """A model's vectors of at least one text.

    Args:
        model: Reads as much of a text as its window lets it.
        texts: As they are embedded.
        task: Asked between chunks whether to go on.
        tell: Takes the share that is done, 0..1.

    Returns:
        (n, dim) float32, L2-normalised.

    Raises:
        JobCancelled: The task is to stop.
    """
    parts = []
    for start in range(0, len(texts), _CHUNK):
        check(task)
        parts.append(encode(model, texts[start : start + _CHUNK]))
        tell((start + len(parts[-1])) / len(texts))
    return np.concatenate(parts)


def check(task: Task) -> None:
    """Raises JobCancelled where the task is to stop."""
    if task.should_stop():
        raise JobCancelled("learning another model's vectors was stopped; it begins anew when the job goes on")
