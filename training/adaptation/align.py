"""A model with new tokens learns to give the vectors that it gave before, as a student those of its teacher.

Distillation by cosine (Reimers and Gurevych 2020, arXiv:2004.09813), from the model before its vocabulary grew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer


class SameVectorLoss(torch.nn.Module):
    """One less the cosine to the vector that is wanted; reads one column of texts, and vectors as labels."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
        """The mean over a batch; `labels` are (batch, dim), L2-normalised."""
        (features,) = sentence_features
        vectors = torch.nn.functional.normalize(self.model(features)["sentence_embedding"], dim=-1)
        loss: torch.Tensor = (1 - (vectors * labels.to(vectors)).sum(dim=-1)).mean()
        return loss
