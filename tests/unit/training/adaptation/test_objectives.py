"""What each objective makes of a batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertForMaskedLM

from embedloop.errors import TrainingFailed
from tests.unit.training.adaptation.conftest import PASSAGES
from tests.unit.training.conftest import WORDS
from training.adaptation.crops import CroppedTwiceLoss
from training.adaptation.mlm import MASKED_SHARE, MaskedLanguageModelLoss
from training.adaptation.simcse import TwiceDroppedOutLoss
from training.adaptation.tsdae import DELETED_SHARE, DamagedCopyLoss
from training.model_files import load_model

Loss = Callable[[SentenceTransformer], torch.nn.Module]


@pytest.fixture
def model(tiny_base: Path) -> SentenceTransformer:
    torch.manual_seed(1)
    return load_model(tiny_base)


def batch(model: SentenceTransformer, texts: list[str]) -> dict[str, Any]:
    return dict(model.preprocess(texts))


@pytest.mark.parametrize(
    "loss", [MaskedLanguageModelLoss, DamagedCopyLoss, TwiceDroppedOutLoss, CroppedTwiceLoss]
)
def test_objective_moves_the_weights_of_the_model_itself(loss: Loss, model: SentenceTransformer) -> None:
    made = loss(model)
    made([batch(model, PASSAGES[:8])], torch.empty(0)).backward()
    rows = model[0].auto_model.get_input_embeddings().weight
    assert rows.grad is not None
    assert bool(rows.grad.abs().sum() > 0)


def test_masks_hide_words_and_nothing_else(model: SentenceTransformer) -> None:
    features = batch(model, [" ".join(WORDS[:40])] * 64)
    ids, attention = features["input_ids"], features["attention_mask"]
    masked, wanted = MaskedLanguageModelLoss(model)._masked(ids, attention)
    chosen = wanted != -100
    special = torch.isin(ids, torch.tensor(model.tokenizer.all_special_ids))
    assert not bool((chosen & special).any())
    assert bool((wanted[chosen] == ids[chosen]).all())
    assert bool((masked[~chosen] == ids[~chosen]).all())
    assert float(chosen.sum() / (~special).sum()) == pytest.approx(MASKED_SHARE, abs=0.03)
    hidden = (masked == model.tokenizer.mask_token_id).sum() / chosen.sum()
    assert float(hidden) == pytest.approx(0.8, abs=0.1)


def test_batch_of_single_words_still_teaches(model: SentenceTransformer) -> None:
    for _ in range(20):
        features = batch(model, ["a", "of"])
        loss = MaskedLanguageModelLoss(model)([features], torch.empty(0))
        assert bool(torch.isfinite(loss))


def test_head_is_the_bases_own_where_it_has_one(
    model: SentenceTransformer, tiny_base: Path, tmp_path: Path
) -> None:
    headed = BertForMaskedLM(BertConfig.from_pretrained(tiny_base))
    shutil.copytree(tiny_base, tmp_path / "headed")
    headed.save_pretrained(tmp_path / "headed")
    kept = MaskedLanguageModelLoss(load_model(tmp_path / "headed")).headed
    dense = "cls.predictions.transform.dense.weight"
    assert bool((kept.state_dict()[dense] == headed.state_dict()[dense]).all())


def test_damage_deletes_words_and_keeps_order_ends_and_one_word(model: SentenceTransformer) -> None:
    features = batch(model, [" ".join(WORDS[:40]), "a", "of the body"] * 20)
    damaged = DamagedCopyLoss(model)._damaged(features)
    kept_words = all_words = 0
    for ids, mask, whole, whole_mask in zip(
        damaged["input_ids"].tolist(),
        damaged["attention_mask"].tolist(),
        features["input_ids"].tolist(),
        features["attention_mask"].tolist(),
        strict=True,
    ):
        left, before = ids[: sum(mask)], whole[: sum(whole_mask)]
        rest = iter(before)
        assert all(one in rest for one in left)
        assert (left[0], left[-1]) == (before[0], before[-1])
        assert len(left) >= 3
        kept_words, all_words = kept_words + len(left) - 2, all_words + len(before) - 2
    assert 1 - kept_words / all_words == pytest.approx(DELETED_SHARE, abs=0.1)
    assert damaged["input_ids"].shape == damaged["attention_mask"].shape == damaged["token_type_ids"].shape


def test_model_without_dropout_cannot_tell_a_passage_from_itself(model: SentenceTransformer) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with pytest.raises(TrainingFailed, match="dropout"):
        TwiceDroppedOutLoss(model)


def test_tokenizer_without_a_mask_token_is_refused(model: SentenceTransformer) -> None:
    model.tokenizer.mask_token = None
    with pytest.raises(TrainingFailed, match="mask token"):
        MaskedLanguageModelLoss(model)
