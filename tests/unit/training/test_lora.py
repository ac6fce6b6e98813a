from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.recipe.compression import Lora
from embedloop.recipe.settings import TrainingSettings
from tests.tiny_model import build_tiny_model
from tests.unit.training.conftest import run
from training.finetune import FinetuneConfig
from training.lora import low_rank
from training.model_files import load_model

MakeConfig = Callable[..., FinetuneConfig]
LORA = {"rank": 4, "alpha": 16.0}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def test_only_linear_layers_change_and_the_model_has_its_own_weights_again(make_config: MakeConfig) -> None:
    config = make_config(lora=LORA, merge_alphas=(), learning_rate=1e-2)
    result = run(config)
    before, after = weights(config.base), weights(result.model)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.endswith("weight") and "LayerNorm" not in name for name in changed)
    assert not any("embeddings" in name for name in changed)
    # What was learnt has the rank that was asked for.
    name = next(one for one in sorted(changed) if "query" in one)
    assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-5) <= 4


def test_low_rank_matrices_learn(make_config: MakeConfig) -> None:
    dev = run(make_config(lora=LORA, learning_rate=1e-2, epochs=8)).dev
    assert max(score for step, score in dev if step > 0) > dev[0][1] + 0.1


def test_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(make_config: MakeConfig) -> None:
    recipe = {"lora": {**LORA, "dropout": 0.1}, "learning_rate": 1e-2, "max_steps": 12}
    whole = run(make_config("whole", **recipe))
    config, asked = make_config("stopped", **recipe), iter([False] * 6)
    with pytest.raises(JobCancelled):
        run(config, should_stop=lambda: next(asked, True))
    resumed = run(config)
    assert resumed.steps == whole.steps
    for name, one in weights(whole.model).items():
        torch.testing.assert_close(weights(resumed.model)[name], one)


def test_gradient_checkpointing_does_not_keep_them_from_learning(make_config: MakeConfig) -> None:
    recipe = {"lora": LORA, "learning_rate": 1e-2, "max_steps": 4, "merge_alphas": ()}
    plain, sparing = (
        weights(run(make_config(str(on), gradient_checkpointing=on, **recipe)).model) for on in (False, True)
    )
    for name, one in plain.items():
        torch.testing.assert_close(sparing[name], one, atol=1e-4, rtol=1e-3)


def test_targets_are_the_layers_that_get_matrices(tiny_base: Path) -> None:
    model = load_model(tiny_base)
    with low_rank(model, TrainingSettings(lora=Lora(targets=("query", "value")))):
        learning = [name for name, one in model.named_parameters() if one.requires_grad]
    assert len(learning) == 2 * 2 * 2
    assert all(".query.lora_" in name or ".value.lora_" in name for name in learning)


def test_what_is_not_merged_is_thrown_away(tiny_base: Path) -> None:
    model = load_model(tiny_base)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with low_rank(model, TrainingSettings(lora=Lora())):
        assert model.state_dict().keys() != before.keys()
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], one) for name, one in before.items())


def test_layers_that_are_not_there_are_named(make_config: MakeConfig) -> None:
    with pytest.raises(TrainingFailed, match=r"training\.lora\.targets: .*nothing_here"):
        run(make_config(lora={"targets": ["nothing_here"]}))


def test_model_without_a_transformer_is_refused(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words = load_model(build_tiny_model(tmp_path)).tokenizer.backend_tokenizer
    static = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
    with pytest.raises(TrainingFailed, match="no transformer"), low_rank(static, TrainingSettings(lora=Lora())):
        pass


def test_freezing_beside_them_is_refused() -> None:
    for frozen in ({"freeze_embeddings": True}, {"freeze_layers": 1}):
        with pytest.raises(ValidationError, match="lora freezes every other weight"):
            TrainingSettings(lora=Lora(), **frozen)
