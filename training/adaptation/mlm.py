"""Domain-adaptive pre-training: guessing masked tokens of the corpus (Gururangan et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForMaskedLM

from embedloop.errors import TrainingFailed
from training.adaptation.packing import words_of
from training.model_files import transformer_of

# As BERT (Devlin et al. 2019): of the chosen tokens 80 % are masked, 10 % another token, 10 % as they are.
MASKED_SHARE = 0.15
_REPLACED, _OTHER = 0.8, 0.1
_IGNORED = -100


class MaskedLanguageModelLoss(torch.nn.Module):
    """Cross-entropy of the tokens that were masked; reads one column of texts.

    The head is the base's own where its files hold one, else it is new; it ends with the training.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        """Puts a head on the model's transformer.

        Raises:
            TrainingFailed: The model has no mask token, or its architecture no masked language model.
        """
        super().__init__()
        transformer, self.tokenizer = transformer_of(model), model.tokenizer
        if self.tokenizer.mask_token_id is None:
            raise TrainingFailed("objective mlm needs a tokenizer with a mask token, and this one has none")
        try:
            headed = AutoModelForMaskedLM.from_pretrained(
                transformer.config._name_or_path, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise TrainingFailed(f"objective mlm does not fit this model: {error}") from error
        setattr(headed, headed.base_model_prefix, transformer)
        headed.tie_weights()
        self.headed = headed

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch with masks of its own, drawn from torch's generator."""
        (features,) = sentence_features
        ids, wanted = self._masked(features["input_ids"], features["attention_mask"])
        inputs = {name: features[name] for name in ("attention_mask", "token_type_ids") if name in features}
        logits = self.headed(input_ids=ids, **inputs).logits
        loss: torch.Tensor = torch.nn.functional.cross_entropy(
            logits.view(-1, logits.shape[-1]), wanted.view(-1), ignore_index=_IGNORED
        )
        return loss

    def _masked(self, ids: torch.Tensor, attention: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids with masks, and what stood there before; `(batch, tokens)` int64 each."""
        features = {"input_ids": ids, "attention_mask": attention}
        open_to = words_of(features, torch.tensor(self.tokenizer.all_special_ids))
        chance = torch.rand(ids.shape, device=ids.device)
        chosen = open_to & (chance < MASKED_SHARE)
        if not chosen.any():
            # Of a batch of short texts one token is masked, so that it teaches something.
            lowest = torch.where(open_to, chance, torch.inf).view(-1).argmin()
            chosen.view(-1)[lowest] = open_to.view(-1)[lowest]
        wanted = torch.where(chosen, ids, _IGNORED)
        lot = torch.rand(ids.shape, device=ids.device)
        masked = torch.where(chosen & (lot < _REPLACED), self.tokenizer.mask_token_id, ids)
        others = torch.randint_like(ids, len(self.tokenizer))
        return torch.where(chosen & (lot >= 1 - _OTHER), others, masked), wanted
