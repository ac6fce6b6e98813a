from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import Loss, TrainingSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from tests.unit.training.conftest import run
from training.batches import make_rows
from training.finetune import FinetuneConfig
from training.losses import make_loss, table_of
from training.model_files import load_model

MakeConfig = Callable[..., FinetuneConfig]
LOSSES: tuple[Loss, ...] = ("mnrl", "cached_mnrl", "triplet", "contrastive", "cosent")


def pair(key: str, positive: str, negatives: tuple[str, ...] = ()) -> TrainingPair:
    return TrainingPair(f"query {key}", positive, negatives, key, f"id {positive}", Split.TRAIN, ("f",))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_the_synonyms(loss: Loss, make_config: MakeConfig) -> None:
    result = run(make_config(loss=loss, epochs=8, merge_alphas=()))
    before, after = result.dev[0][1], dict(result.dev)[result.best_step]
    assert after > before + 0.2


def test_cached_loss_gives_the_gradients_of_the_plain_one(tiny_base: Path) -> None:
    gradients = []
    for recipe in ({"loss": "mnrl"}, {"loss": "cached_mnrl", "mini_batch_size": 2}):
        model = load_model(tiny_base).eval()
        loss = make_loss(TrainingSettings(**recipe), model)
        columns = [["what is a", "help with b", "today c", "the body"], ["a of the body", "b", "c", "disease"]]
        loss([model.preprocess(texts) for texts in columns], torch.tensor([])).backward()
        gradients.append({name: one.grad for name, one in model.named_parameters() if one.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["mnrl", "cached_mnrl"])
def test_symmetric_loss_also_tells_a_documents_query_from_the_others(loss: Loss, tiny_base: Path) -> None:
    model = load_model(tiny_base).eval()
    columns = [["what is a", "help with b", "today c"], ["a of the body", "b", "c"]]

    def value(left: list[str], right: list[str], *, symmetric: bool) -> torch.Tensor:
        measured = make_loss(TrainingSettings(loss=loss, symmetric=symmetric, mini_batch_size=2), model)
        with torch.no_grad():
            return measured([model.preprocess(left), model.preprocess(right)], torch.tensor([]))

    there = value(*columns, symmetric=False)
    back = value(*reversed(columns), symmetric=False)
    torch.testing.assert_close(value(*columns, symmetric=True), (there + back) / 2)


def test_labelled_losses_read_a_line_for_each_document_and_keep_a_row_in_one_batch() -> None:
    rows = make_rows([pair("a", "A", ("x",)), pair("b", "B", ("y",))], 1, 0)
    table, batches = table_of("contrastive", rows, [[1], [0]])
    assert table == {
        "anchor": ["query a", "query a", "query b", "query b"],
        "document": ["A", "x", "B", "y"],
        "label": [1.0, 0.0, 1.0, 0.0],
    }
    assert batches == [[2, 3], [0, 1]]


def test_loss_that_needs_negatives_takes_documents_of_others_where_none_were_mined() -> None:
    rows = make_rows([pair("a", "A"), pair("b", "B")], 1, 0, at_least=1)
    assert [row.negatives for row in rows] == [("B",), ("A",)]


def test_loss_that_needs_negatives_is_refused_where_there_can_be_none() -> None:
    with pytest.raises(TrainingFailed, match="1 wrong document"):
        make_rows([pair("a", "A"), pair("b", "A")], 1, 0, at_least=1)


@pytest.mark.parametrize("frozen", [{"freeze_embeddings": True}, {"freeze_layers": 1}])
def test_frozen_weights_are_saved_as_the_base_has_them(frozen: dict[str, Any], make_config: MakeConfig) -> None:
    config = make_config(epochs=1, merge_alphas=(), **frozen)
    before, after = (load_file(folder / "model.safetensors") for folder in (config.base, run(config).model))
    kept = {name for name in before if np.array_equal(before[name], after[name])}
    assert {name for name in before if name.startswith("embeddings.")} <= kept
    assert any(name.startswith("encoder.layer.1.") for name in before.keys() - kept)


def test_gradient_checkpointing_trains_to_the_same_weights(make_config: MakeConfig) -> None:
    plain, checkpointed = (
        load_file(run(make_config(name, epochs=1, gradient_checkpointing=on)).model / "model.safetensors")
        for name, on in (("plain", False), ("checkpointed", True))
    )
    for name, weights in plain.items():
        np.testing.assert_allclose(checkpointed[name], weights, rtol=1e-3, atol=1e-5)
