"""SimCSE: two vectors of one passage that differ by dropout are a pair (Gao, Yao and Chen 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from embedloop.errors import TrainingFailed


class TwiceDroppedOutLoss(MultipleNegativesRankingLoss):
    """The library's in-batch loss on one column of texts, embedded twice."""

    def __init__(self, model: SentenceTransformer) -> None:
        """Checks that there is something to tell the two vectors apart.

        Raises:
            TrainingFailed: The model drops nothing out.
        """
        if not any(isinstance(one, torch.nn.Dropout) and one.p > 0 for one in model.modules()):
            raise TrainingFailed("objective simcse needs a model with dropout, and this one has none")
        super().__init__(model)

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch; no text may be in it twice."""
        (features,) = sentence_features
        loss: torch.Tensor = super().forward((dict(features), dict(features)), labels)
        return loss
