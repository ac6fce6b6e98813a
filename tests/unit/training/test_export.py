from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from embedloop.errors import InvalidInput, ModelRefused
from tests.unit.training.conftest import WORDS
from training.export import check_parity, export_onnx

TEXTS = ["a", "what is " + WORDS[0], " ".join(WORDS), "", *[f"{word} of the body" for word in WORDS[:20]]]


@pytest.fixture
def exported(tiny_base: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(tiny_base, folder)
    assert export_onnx(folder) == folder / "onnx" / "model.onnx"
    return folder


def test_export_gives_the_embeddings_of_the_model(exported: Path) -> None:
    assert check_parity(exported, TEXTS) > 0.999999


def test_graph_takes_any_batch_and_length_and_returns_unit_vectors(exported: Path) -> None:
    session = onnxruntime.InferenceSession(str(exported / "onnx" / "model.onnx"))
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [one.name for one in session.get_outputs()] == ["embedding"]
    for rows, tokens in ((1, 2), (7, 33)):
        ids = np.ones((rows, tokens), dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": ids, "token_type_ids": ids * 0}
        (vectors,) = session.run(["embedding"], feed)
        assert vectors.shape == (rows, 32)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_model_without_normalisation_is_exported_with_it(tiny_base: Path, tmp_path: Path) -> None:
    whole = SentenceTransformer(str(tiny_base), device="cpu", local_files_only=True)
    bare = SentenceTransformer(modules=[whole[0], Pooling(32, "cls")], device="cpu")
    bare.save_pretrained(str(tmp_path / "bare"), create_model_card=False)
    export_onnx(tmp_path / "bare")
    assert check_parity(tmp_path / "bare", TEXTS) > 0.999999


def test_export_of_other_weights_is_refused(exported: Path) -> None:
    weights = load_file(exported / "model.safetensors")
    generator = np.random.default_rng(0)
    changed = {
        name: one + generator.normal(0, 0.05, one.shape).astype(one.dtype) for name, one in weights.items()
    }
    save_file(changed, exported / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelRefused, match="lowest cosine"):
        check_parity(exported, TEXTS)


def test_parity_over_no_texts_is_refused(exported: Path) -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        check_parity(exported, [])


def test_folder_without_safetensors_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_base, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="safetensors"):
        export_onnx(folder)


def test_pickled_weights_of_one_module_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_base, folder)
    (folder / "3_Dense").mkdir()
    (folder / "3_Dense" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelRefused, match="3_Dense"):
        export_onnx(folder)
