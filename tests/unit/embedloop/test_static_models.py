from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedloop.static_models import is_static, set_window


@pytest.mark.parametrize(
    ("modules", "static"),
    [
        ([{"type": "sentence_transformers.sentence_transformer.modules.StaticEmbedding"}], True),
        ([{"type": "sentence_transformers.models.StaticEmbedding"}], True),
        ([{"type": "sentence_transformers.models.Transformer"}, {"type": "x.StaticEmbedding"}], False),
        ([], False),
        ({}, False),
        ([7], False),
    ],
)
def test_first_module_decides(tmp_path: Path, modules: object, static: bool) -> None:
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    assert is_static(tmp_path) is static


def test_folder_that_is_no_model_is_not_static(tmp_path: Path) -> None:
    assert not is_static(tmp_path)
    (tmp_path / "modules.json").write_text("{")
    assert not is_static(tmp_path)


def test_window_of_a_static_model_cuts_and_is_taken_away_again() -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from training.scratch.tokenizer import static_tokenizer

    tokenizer = static_tokenizer({"[UNK]": 0, "one": 1, "two": 2})
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu")
    set_window(model, 1)
    assert model.preprocess(["one two"])["input_ids"].tolist() == [1]
    set_window(model, float("inf"))
    assert model.preprocess(["one two"])["input_ids"].tolist() == [1, 2]
