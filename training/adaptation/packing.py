"""Batches of token ids with some of them taken out."""

from __future__ import annotations

from typing import Any

import torch


def words_of(features: dict[str, Any], special: torch.Tensor) -> torch.Tensor:
    """Which tokens are neither padding nor special: (batch, tokens) bool."""
    ids = features["input_ids"]
    words: torch.Tensor = (features["attention_mask"] == 1) & ~torch.isin(ids, special.to(ids.device))
    return words


def packed(whole: dict[str, Any], kept: torch.Tensor, padding: int) -> dict[str, Any]:
    """A batch with the tokens of `kept` alone, (batch, tokens) bool, moved together and padded."""
    ids, attention = whole["input_ids"], whole["attention_mask"]
    rows = torch.nn.utils.rnn.pad_sequence(
        [row[keep] for row, keep in zip(ids, kept, strict=True)], batch_first=True, padding_value=padding
    )
    lengths = kept.sum(dim=1, keepdim=True)
    mask = (torch.arange(rows.shape[1], device=ids.device) < lengths).to(attention.dtype)
    left = {**whole, "input_ids": rows, "attention_mask": mask}
    if "token_type_ids" in whole:
        left["token_type_ids"] = torch.zeros_like(rows)
    return left
