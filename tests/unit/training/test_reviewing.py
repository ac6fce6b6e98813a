from __future__ import annotations

from pathlib import Path

import pytest
from sentence_transformers import CrossEncoder

from embedloop.errors import ModelRefused
from tests.tiny_model import build_tiny_cross_encoder
from training.reviewing import CrossEncoderReviewer

TEXTS = {"a": "a disease of the body", "b": "help with the body today"}


def test_pairs_are_scored_as_the_model_scores_them(tiny_base: Path, tmp_path: Path) -> None:
    folder = build_tiny_cross_encoder(tmp_path / "one", tiny_base)
    pairs = [("what is a", "a"), ("what is a", "b"), ("today", "a")]
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    expected = model.predict([(query, TEXTS[one]) for query, one in pairs], show_progress_bar=False)
    assert CrossEncoderReviewer(folder, TEXTS).score(pairs) == pytest.approx([float(one) for one in expected])
    assert CrossEncoderReviewer(folder, TEXTS).score([]) == []


def test_model_with_several_outputs_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="1 output"):
        CrossEncoderReviewer(build_tiny_cross_encoder(tmp_path / "three", tiny_base, outputs=3), TEXTS)


def test_folder_without_safetensors_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    folder = build_tiny_cross_encoder(tmp_path / "pickled", tiny_base)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="safetensors"):
        CrossEncoderReviewer(folder, TEXTS)
    with pytest.raises(ModelRefused, match="nowhere"):
        CrossEncoderReviewer(tmp_path / "nowhere", TEXTS)
