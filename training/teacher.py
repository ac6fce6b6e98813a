"""A teacher's vectors of many texts, by a step that can be stopped meanwhile, and how they are learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from embedloop.encoder import Vectors
from embedloop.errors import JobCancelled
from training.steps import Task
from training.validation import encode

_CHUNK = 256


class SameVectorLoss(torch.nn.Module):
    """One less the cosine to the vector that is wanted; reads one column of texts, and vectors as labels.

    Distillation by cosine (Reimers and Gurevych 2020, arXiv:2004.09813).
    """

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
        """The mean over a batch; `labels` are (batch, dim), L2-normalised."""
        (features,) = sentence_features
        vectors = torch.nn.functional.normalize(self.model(features)["sentence_embedding"], dim=-1)
        loss: torch.Tensor = (1 - (vectors * labels.to(vectors)).sum(dim=-1)).mean()
        return loss


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
