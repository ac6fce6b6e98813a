"""Low-rank adaptation: a few small matrices learn beside frozen weights and are then added to them.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685. The optimiser holds its
moments for the small matrices alone, so that a model trains on a machine that could not train all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraModel
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import TrainingSettings


@dataclass(slots=True)
class Adapters:
    """The low-rank matrices of a model while it trains; without any where the recipe wants none."""

    inner: list[LoraModel]

    def merge(self) -> None:
        """Adds what they learnt to the weights, which have their own names and number again."""
        while self.inner:
            self.inner.pop().merge_and_unload()


@contextmanager
def low_rank(model: SentenceTransformer, settings: TrainingSettings) -> Iterator[Adapters]:
    """The model with the matrices of `settings.lora`; those that are not merged inside are thrown away.

    Raises:
        TrainingFailed: The model has no transformer, or none of its layers has a name of `targets`.
    """
    lora = settings.lora
    adapters = Adapters([])
    if lora is None:
        yield adapters
        return
    transformers = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    if not transformers:
        raise TrainingFailed("training.lora: this model has no transformer")
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
    )
    model.requires_grad_(False)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            adapters.inner.append(LoraModel(transformers[0], config, "default"))
    except ValueError as error:
        raise TrainingFailed(f"training.lora.targets: {error}") from error
    try:
        yield adapters
    finally:
        while adapters.inner:
            adapters.inner.pop().unload()
