from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embedloop.encoder import OnnxEncoder, TorchEncoder
from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import TrainingSettings
from tests.unit.training.conftest import document, run
from training.export import check_parity, export_onnx
from training.finetune import FinetuneConfig
from training.losses import make_loss
from training.model_files import load_model
from training.truncation import cut_to

MakeConfig = Callable[..., FinetuneConfig]
TEXTS = [document(topic) for topic in range(6)]


def test_cut_vectors_are_the_first_numbers_normalised_again(tiny_base: Path, tmp_path: Path) -> None:
    model = load_model(tiny_base)
    whole = model.encode(TEXTS, normalize_embeddings=True)
    cut_to(model, 8)
    model.save_pretrained(str(tmp_path / "cut"), create_model_card=False)
    first = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    export_onnx(tmp_path / "cut")
    assert check_parity(tmp_path / "cut", TEXTS) > 0.99999
    for encoder in (
        OnnxEncoder(tmp_path / "cut", max_tokens=64, threads=1),
        TorchEncoder(tmp_path / "cut", max_tokens=64, threads=1),
    ):
        assert encoder.dimension == 8
        np.testing.assert_allclose(encoder.encode_passages(TEXTS), first, atol=1e-5)


def test_model_that_has_this_dimension_stays_as_it_is(tiny_base: Path) -> None:
    model = load_model(tiny_base)
    modules = list(model)
    cut_to(model, None)
    cut_to(model, 32)
    assert list(model) == modules


def test_candidate_has_the_dimension_of_the_recipe_and_dev_is_measured_by_it(make_config: MakeConfig) -> None:
    recipe = {"matryoshka": (8, 16), "merge_alphas": (0.5,), "epochs": 2, "patience": 100}
    config = make_config(dimension=8, **recipe)
    result = run(config)
    model = load_model(result.model)
    assert model.get_embedding_dimension() == 8
    wide = run(make_config("wide", **recipe))
    assert load_model(wide.model).get_embedding_dimension() == 32
    # The same training, measured by other vectors.
    assert result.loss == wide.loss
    assert [score for _, score in result.dev] != [score for _, score in wide.dev]
    assert result.sweep is not None


@pytest.mark.parametrize("loss", ["mnrl", "cached_mnrl", "triplet", "contrastive", "cosent"])
def test_every_loss_learns_at_nested_dimensions(make_config: MakeConfig, loss: str) -> None:
    recipe = {"loss": loss, "hard_negatives": 2, "max_steps": 4, "merge_alphas": (), "dimension": 8}
    nested = run(make_config("nested", matryoshka=(8,), **recipe))
    plain = run(make_config("plain", **recipe))
    assert nested.loss[0][1] > plain.loss[0][1] * 1.2
    assert all(np.isfinite(value) for _, value in nested.loss)


@pytest.mark.parametrize(
    ("recipe", "field"),
    [({"matryoshka": [8, 64]}, r"training\.matryoshka"), ({"dimension": 64}, r"training\.dimension")],
)
def test_dimension_beyond_the_model_is_refused_by_its_field(
    make_config: MakeConfig, recipe: dict[str, object], field: str
) -> None:
    with pytest.raises(TrainingFailed, match=f"{field} must be at most the model's 32 dimensions, got 64"):
        run(make_config(**recipe))


def test_whole_vector_is_always_among_the_nested_ones(tiny_base: Path) -> None:
    loss = make_loss(TrainingSettings(matryoshka=(16, 8)), load_model(tiny_base))
    assert loss.matryoshka_dims == (32, 16, 8)
