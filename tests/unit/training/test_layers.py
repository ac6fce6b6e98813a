from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import TrainingSettings
from training.layers import prepared
from training.model_files import load_model


@pytest.fixture
def model(tiny_base: Path) -> SentenceTransformer:
    return load_model(tiny_base)


def learning(model: SentenceTransformer) -> set[str]:
    return {name.split("model.", 1)[-1] for name, one in model.named_parameters() if one.requires_grad}


def probabilities(model: SentenceTransformer) -> set[float]:
    return {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}


def test_everything_learns_by_default(model: SentenceTransformer) -> None:
    everything = learning(model)
    with prepared(model, TrainingSettings()):
        assert learning(model) == everything


def test_frozen_embeddings_do_not_learn_and_may_again_afterwards(model: SentenceTransformer) -> None:
    everything = learning(model)
    with prepared(model, TrainingSettings(freeze_embeddings=True)):
        frozen = everything - learning(model)
    assert frozen
    assert all(name.startswith("embeddings.") for name in frozen)
    assert learning(model) == everything


def test_first_layers_are_frozen_with_what_lies_below_them(model: SentenceTransformer) -> None:
    everything = learning(model)
    with prepared(model, TrainingSettings(freeze_layers=1)):
        left = learning(model)
    assert {name.split(".")[0] for name in everything - left} == {"embeddings", "encoder"}
    assert not any(name.startswith("encoder.layer.0.") for name in left)
    assert any(name.startswith("encoder.layer.1.") for name in left)


def test_more_layers_than_there_are_cannot_be_frozen(model: SentenceTransformer) -> None:
    settings = TrainingSettings(freeze_layers=2)
    with pytest.raises(TrainingFailed, match="2 layers, got 2"), prepared(model, settings):
        pass
    assert all(one.requires_grad for one in model.parameters())


def test_dropout_is_the_policys_while_training_and_the_models_own_after(model: SentenceTransformer) -> None:
    own = probabilities(model)
    assert own == {0.1}
    with prepared(model, TrainingSettings(dropout=0.3)):
        assert probabilities(model) == {0.3}
    with prepared(model, TrainingSettings(dropout=None)):
        assert probabilities(model) == own
    assert probabilities(model) == own


def test_without_dropout_two_passes_give_the_same(model: SentenceTransformer) -> None:
    features = model.preprocess(["what is the body"])
    model.train()
    with prepared(model, TrainingSettings(dropout=0.0)):
        first, again = (model(dict(features))["sentence_embedding"] for _ in range(2))
    other = model(dict(features))["sentence_embedding"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_checkpointing_is_on_while_training_only(model: SentenceTransformer) -> None:
    inner = next(module for module in model.modules() if isinstance(module, PreTrainedModel))
    with prepared(model, TrainingSettings(gradient_checkpointing=True)):
        assert inner.is_activation_checkpointing
    assert not inner.is_activation_checkpointing
