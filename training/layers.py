"""Which weights of a model learn, and how much of it is dropped out while it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PreTrainedModel

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import TrainingSettings

# Some attention layers keep their probability as a number instead of a Dropout module.
_NUMBERS = ("attention_dropout", "dropout_prob", "dropout_p")


@contextmanager
def prepared(model: SentenceTransformer, settings: TrainingSettings) -> Iterator[None]:
    """The model as the recipe wants it while it trains; afterwards everything may learn again.

    Raises:
        TrainingFailed: There are fewer layers than `freeze_layers`, nothing would be left to learn, or there
            is no transformer to checkpoint.
    """
    try:
        _freeze(model, settings)
        with _dropout(model, settings.dropout), _checkpointing(model, settings.gradient_checkpointing):
            yield
    finally:
        model.requires_grad_(True)


def _freeze(model: SentenceTransformer, settings: TrainingSettings) -> None:
    if isinstance(model[0], StaticEmbedding):
        # A text without a known word is at right angles to all others only while their projection stays.
        for module in list(model)[1:]:
            module.requires_grad_(False)
    if settings.freeze_embeddings or settings.freeze_layers:
        # Below a frozen layer nothing can learn, so its input is frozen with it.
        _embeddings(model).requires_grad_(False)
    if settings.freeze_layers:
        layers = layer_stack(model)
        if layers is None:
            raise TrainingFailed("training.freeze_layers: this model has no stack of layers")
        if settings.freeze_layers >= len(layers):
            raise TrainingFailed(
                f"training.freeze_layers must be below the model's {len(layers)} layers, "
                f"got {settings.freeze_layers}"
            )
        for layer in list(layers)[: settings.freeze_layers]:
            layer.requires_grad_(False)
    if not any(one.requires_grad for one in model.parameters()):
        raise TrainingFailed("everything is frozen: nothing would be left to learn")


def _embeddings(model: SentenceTransformer) -> torch.nn.Module:
    """The embedding block with its positions and norm, or the token embeddings where there is no block."""
    for module in model.modules():
        block = getattr(module, "embeddings", None)
        if isinstance(block, torch.nn.Module):
            return block
    for module in model.modules():
        if isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag)):
            return module
    raise TrainingFailed("training.freeze_embeddings: this model has no embedding layer")


def layer_stack(model: SentenceTransformer) -> torch.nn.ModuleList | None:
    """The stack of equal layers: the longest list of modules of one type."""
    stacks = [
        module
        for module in model[0].modules()
        if isinstance(module, torch.nn.ModuleList) and len({type(layer) for layer in module}) == 1
    ]
    return max(stacks, key=len, default=None)


@contextmanager
def _checkpointing(model: SentenceTransformer, wanted: bool) -> Iterator[None]:
    """Activations are computed again in the backward pass instead of kept (Chen et al. 2016)."""
    inner = [module for module in model.modules() if isinstance(module, PreTrainedModel)] if wanted else []
    if wanted and not inner:
        raise TrainingFailed("training.gradient_checkpointing: this model has no transformer")
    for module in inner:
        module.activation_checkpointing_enable()
    try:
        yield
    finally:
        for module in inner:
            module.activation_checkpointing_disable()


@contextmanager
def _dropout(model: SentenceTransformer, probability: float | None) -> Iterator[None]:
    if probability is None:
        yield
        return
    before: list[tuple[torch.nn.Module, str, float]] = []
    for module in model.modules():
        names = ("p",) if isinstance(module, torch.nn.Dropout) else _NUMBERS
        before += [(module, name, at) for name in names if isinstance(at := getattr(module, name, None), float)]
    try:
        for module, name, _ in before:
            setattr(module, name, probability)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
