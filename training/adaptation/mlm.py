"""Domain-adaptive pre-training: guessing masked tokens of the corpus (Gururangan et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForMaskedLM, PretrainedConfig, PreTrainedModel

from embedloop.errors import TrainingFailed
from training.adaptation.packing import words_of
from training.model_files import stored_names, transformer_of

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
            headed = _headed(transformer.config)
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


def _headed(config: PretrainedConfig) -> PreTrainedModel:
    """A masked language model; the head is read only where files hold one: without, they are called corrupt."""
    headed: PreTrainedModel = AutoModelForMaskedLM.from_config(config, trust_remote_code=False)
    head = {name for name in headed.state_dict() if not name.startswith(f"{headed.base_model_prefix}.")}
    folder = Path(config._name_or_path)
    if not head & stored_names(folder):
        return headed
    kept: PreTrainedModel = AutoModelForMaskedLM.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return kept
