"""Two random parts of one passage are a pair (Contriever, Izacard et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from embedloop.errors import TrainingFailed
from training.adaptation.packing import packed, words_of

# Of a passage's tokens, at least and at most.
SHORTEST_SHARE, LONGEST_SHARE = 0.2, 0.6
# A part of fewer tokens says too little; a passage of fewer is its own part, twice.
FEWEST_TOKENS = 4


class CroppedTwiceLoss(MultipleNegativesRankingLoss):
    """The library's in-batch loss on one column of texts, of each two parts, cut anew for every batch."""

    def __init__(self, model: SentenceTransformer) -> None:
        """Looks up the tokens that are in every part.

        Raises:
            TrainingFailed: The tokenizer has no padding token.
        """
        super().__init__(model)
        if model.tokenizer.pad_token_id is None:
            raise TrainingFailed("objective crops needs a tokenizer with a padding token, got none")
        self._special = torch.tensor(model.tokenizer.all_special_ids)
        self._padding = int(model.tokenizer.pad_token_id)

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch with parts drawn from torch's generator; no text may be in it twice."""
        (whole,) = sentence_features
        loss: torch.Tensor = super().forward((self._part(whole), self._part(whole)), labels)
        return loss

    def _part(self, whole: dict[str, Any]) -> dict[str, Any]:
        """A span of each text's tokens, between the special ones at its ends."""
        words = words_of(whole, self._special)
        lengths = words.sum(dim=1, keepdim=True)
        share = torch.empty(lengths.shape, device=words.device).uniform_(SHORTEST_SHARE, LONGEST_SHARE)
        wanted = (lengths * share).ceil().long().clamp(min=FEWEST_TOKENS).minimum(lengths)
        first = (torch.rand(lengths.shape, device=words.device) * (lengths - wanted + 1)).long()
        place = words.cumsum(dim=1) - 1
        span = (place >= first) & (place < first + wanted)
        return packed(whole, (whole["attention_mask"] == 1) & (~words | span), self._padding)
