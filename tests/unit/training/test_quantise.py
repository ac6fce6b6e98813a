from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest

from embedloop.encoder import ONNX_FILE, OnnxEncoder
from embedloop.errors import ModelRefused
from tests.tiny_model import build_tiny_model
from tests.unit.training.conftest import WORDS, document
from training.export import export_onnx
from training.quantise import Way, quantise

TEXTS = [*(document(topic) for topic in range(24)), "a", "what is the body", " ".join(WORDS[:30])]


@pytest.fixture(scope="module")
def exported(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    shutil.copytree(tiny_base, folder)
    export_onnx(folder)
    return folder


def encoder(folder: Path, graph: str = ONNX_FILE) -> OnnxEncoder:
    return OnnxEncoder(folder, max_tokens=64, threads=1, graph=graph)


def int8_weights(path: Path) -> list[np.ndarray]:
    initialisers = [onnx.numpy_helper.to_array(one) for one in onnx.load(str(path)).graph.initializer]
    return [one for one in initialisers if one.dtype == np.int8 and one.ndim == 2]


@pytest.mark.parametrize("way", get_args(Way))
def test_vectors_stay_near_those_of_fp32(exported: Path, way: Way) -> None:
    plain = encoder(exported)
    quantise(exported / ONNX_FILE, exported / "onnx" / f"{way}.onnx", way, plain.feeds(TEXTS))
    ours, theirs = encoder(exported, f"onnx/{way}.onnx").encode_passages(TEXTS), plain.encode_passages(TEXTS)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-5)
    assert np.sum(ours * theirs, axis=1).min() > 0.98
    assert np.abs(ours - theirs).max() > 1e-6


@pytest.mark.parametrize("way", get_args(Way))
def test_every_matrix_of_weights_has_eight_bits_of_which_seven_are_used(exported: Path, way: Way) -> None:
    target = exported / "onnx" / f"narrow-{way}.onnx"
    quantise(exported / ONNX_FILE, target, way, encoder(exported).feeds(TEXTS))
    weights = int8_weights(target)
    # Two layers of query, key, value, output and the two of the feed-forward network.
    assert len(weights) == 12
    assert max(int(np.abs(one.astype(np.int32)).max()) for one in weights) <= 64


def test_static_vector_of_a_text_does_not_depend_on_its_batch(exported: Path) -> None:
    quantise(exported / ONNX_FILE, exported / "onnx" / "fixed.onnx", "static", encoder(exported).feeds(TEXTS))
    fixed = encoder(exported, "onnx/fixed.onnx")
    together = fixed.encode_passages(TEXTS)
    alone = np.vstack([fixed.encode_passages([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_graph_without_matrices_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "flat", layers=0)
    export_onnx(folder)
    with pytest.raises(ModelRefused, match="no matrix of weights"):
        quantise(folder / ONNX_FILE, folder / "onnx" / "int8.onnx", "dynamic")
    assert [one.name for one in (folder / "onnx").iterdir()] == ["model.onnx"]


def test_file_that_is_no_graph_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelRefused, match=r"model\.onnx cannot be quantised"):
        quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx", "dynamic")
