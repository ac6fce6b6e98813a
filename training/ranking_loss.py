"""The ranking loss for batches in which several queries have one document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, normalize, one_hot

_SCALE = 20.0


class SharedDocumentsRankingLoss(torch.nn.Module):
    """`MultipleNegativesRankingLoss` that embeds each document of a batch once, whoever asks for it.

    Where several rows have the same positive, the library's loss embeds it anew for each of them and takes
    every copy but one for a wrong answer. Here it is one candidate. Without such rows both are the same.

    In the other direction, from documents back to queries, all queries of a document are right (as in Khosla et
    al. 2020, "Supervised contrastive learning", with the sum outside of the logarithm).

    Args:
        model: What is trained.
        symmetric: Whether the other direction counts, as much as the first.
    """

    def __init__(self, model: SentenceTransformer, *, symmetric: bool) -> None:
        super().__init__()
        self.model = model
        self._symmetric = symmetric

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch: columns of anchors, positives and any number of negatives, n rows each."""
        anchors, positives, *negatives = sentence_features
        queries = self._embed(anchors)
        distinct, place = _distinct(positives, len(queries))
        right = self._embed(distinct)
        wrong = [self._embed(_distinct(column, len(queries))[0]) for column in negatives]
        scores = _SCALE * queries @ torch.cat([right, *wrong]).T
        there = cross_entropy(scores, place)
        if not self._symmetric:
            return there
        asked_by = one_hot(place, len(right)).T.to(scores.dtype)
        back = log_softmax(scores[:, : len(right)].T, dim=1)
        return (there - ((back * asked_by).sum(1) / asked_by.sum(1)).mean()) / 2

    def _embed(self, features: dict[str, Any]) -> Tensor:
        """(n, dim), L2-normalised."""
        return normalize(self.model(features)["sentence_embedding"], dim=-1)


def _distinct(features: dict[str, Any], rows: int) -> tuple[dict[str, Any], Tensor]:
    """The distinct texts of a column, and for each of its rows the place among them.

    A model whose features are not one line of tokens a row, such as static embeddings, costs so little that
    each row stays what it is.
    """
    tokens: Tensor = features["input_ids"]
    if tokens.ndim != 2 or len(tokens) != rows:
        return features, torch.arange(rows, device=tokens.device)
    _, place = torch.unique(tokens, dim=0, return_inverse=True)
    first = torch.full((int(place.max()) + 1,), rows, device=tokens.device)
    first = first.scatter_reduce(0, place, torch.arange(rows, device=tokens.device), "amin")
    kept = {
        name: value[first] if isinstance(value, Tensor) and value.shape[:1] == (rows,) else value
        for name, value in features.items()
    }
    return kept, place
