"""TSDAE: a passage is rebuilt from the vector of a damaged copy (Wang, Reimers and Gurevych 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import DenoisingAutoEncoderLoss

from embedloop.errors import TrainingFailed
from training.adaptation.packing import packed, words_of

# What the paper found best.
DELETED_SHARE = 0.6


class DamagedCopyLoss(DenoisingAutoEncoderLoss):
    """The library's loss on one column of texts; the damage is new for every batch.

    The decoder shares the encoder's weights, all but its attention to the vector.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        """Makes a decoder from the model's own files.

        Raises:
            TrainingFailed: The model's architecture has no decoder.
        """
        try:
            super().__init__(model, tie_encoder_decoder=True)
        except (OSError, ValueError, AssertionError) as error:
            raise TrainingFailed(f"objective tsdae does not fit this model: {error}") from error
        if self.tokenizer_decoder.pad_token_id is None:
            raise TrainingFailed("objective tsdae needs a tokenizer with a padding token, got none")

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch with tokens deleted, drawn from torch's generator."""
        (whole,) = sentence_features
        loss: torch.Tensor = super().forward((self._damaged(whole), whole), labels)
        return loss

    def _damaged(self, whole: dict[str, Any]) -> dict[str, Any]:
        """Without 60 % of the tokens, special ones apart; at least one of a text is kept."""
        words = words_of(whole, torch.tensor(self.tokenizer_encoder.all_special_ids))
        chance = torch.where(words, torch.rand(words.shape, device=words.device), -1.0)
        best = torch.zeros_like(words).scatter_(1, chance.argmax(dim=1, keepdim=True), True)
        kept = (whole["attention_mask"] == 1) & (~words | (chance >= DELETED_SHARE) | best)
        return packed(whole, kept, self.tokenizer_encoder.pad_token_id)
