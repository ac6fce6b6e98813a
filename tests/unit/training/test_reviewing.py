from __future__ import annotations

from pathlib import Path

import pytest
from sentence_transformers import CrossEncoder
from transformers import BertConfig, BertForSequenceClassification

from embedloop.errors import ModelRefused
from training.model_files import load_model
from training.reviewing import CrossEncoderReviewer

TEXTS = {"a": "a disease of the body", "b": "help with the body today"}


def cross_encoder(folder: Path, tiny_base: Path, outputs: int = 1) -> Path:
    tokenizer = load_model(tiny_base).tokenizer
    tokenizer.save_pretrained(folder)
    BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=outputs,
        )
    ).save_pretrained(folder)
    return folder


def test_pairs_are_scored_as_the_model_scores_them(tiny_base: Path, tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "one", tiny_base)
    pairs = [("what is a", "a"), ("what is a", "b"), ("today", "a")]
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    expected = model.predict([(query, TEXTS[one]) for query, one in pairs], show_progress_bar=False)
    assert CrossEncoderReviewer(folder, TEXTS).score(pairs) == pytest.approx([float(one) for one in expected])
    assert CrossEncoderReviewer(folder, TEXTS).score([]) == []


def test_model_with_several_outputs_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="1 output"):
        CrossEncoderReviewer(cross_encoder(tmp_path / "three", tiny_base, outputs=3), TEXTS)


def test_folder_without_safetensors_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "pickled", tiny_base)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="safetensors"):
        CrossEncoderReviewer(folder, TEXTS)
    with pytest.raises(ModelRefused, match="nowhere"):
        CrossEncoderReviewer(tmp_path / "nowhere", TEXTS)
