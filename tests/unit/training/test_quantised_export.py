from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedloop.encoder import INT8_FILE, OnnxEncoder
from embedloop.errors import ModelRefused
from embedloop.recipe.compression import ExportSettings
from tests.tiny_model import build_tiny_model
from tests.unit.training.conftest import document, synonym_pairs
from training.export import export_onnx
from training.general import GeneralSet
from training.quantised_export import export_int8
from training.validation import dev_questions

TEXTS = [document(topic) for topic in range(24)]
LOOSE = {"min_cosine": 0.5, "min_overlap": 0.0, "max_ndcg_drop": 1.0}


@pytest.fixture
def folder(tiny_base: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(tiny_base, copy)
    export_onnx(copy)
    return copy


def judged() -> GeneralSet:
    found = dev_questions(synonym_pairs())
    assert found is not None
    return found


def export(folder: Path, **settings: object) -> dict[str, object]:
    record = folder / "onnx" / "export.json"
    wanted = ExportSettings.model_validate(settings)
    export_int8(folder, wanted, judged(), TEXTS, record, max_tokens=64, threads=1)
    told: dict[str, object] = json.loads(record.read_text())
    return told


def test_int8_graph_is_left_beside_fp32_with_what_was_measured(folder: Path) -> None:
    told = export(folder, precision="int8", **LOOSE)
    assert told["backend"] == "onnx_int8"
    assert told["graph"] in ("dynamic", "static")
    assert sorted(one.name for one in (folder / "onnx").iterdir()) == [
        "export.json",
        "model.onnx",
        "model_int8.onnx",
    ]
    plain = OnnxEncoder(folder, max_tokens=64, threads=1).encode_passages(TEXTS)
    ours = OnnxEncoder(folder, max_tokens=64, threads=1, graph=INT8_FILE).encode_passages(TEXTS)
    assert np.sum(plain * ours, axis=1).min() > 0.98
    assert (folder / INT8_FILE).stat().st_size < (folder / "onnx" / "model.onnx").stat().st_size


def test_model_that_cannot_be_faithful_keeps_fp32_under_auto(folder: Path) -> None:
    told = export(folder, precision="auto", min_cosine=1.0)
    assert (told["backend"], told["graph"]) == ("onnx", "fp32")
    assert sorted(one.name for one in (folder / "onnx").iterdir()) == ["export.json", "model.onnx"]


def test_model_that_cannot_be_faithful_is_refused_under_int8(folder: Path) -> None:
    with pytest.raises(ModelRefused, match="lowest cosine"):
        export(folder, precision="int8", min_cosine=1.0)
    assert [one.name for one in (folder / "onnx").iterdir()] == ["model.onnx"]


def test_model_without_matrices_keeps_fp32_under_auto_and_says_why(tmp_path: Path) -> None:
    flat = build_tiny_model(tmp_path / "flat", layers=0)
    export_onnx(flat)
    told = export(flat, precision="auto")
    assert told["backend"] == "onnx"
    refused = told["refused"]
    assert isinstance(refused, dict)
    assert all("no matrix of weights" in reason for reason in refused.values())
    assert set(refused) == {"dynamic", "static"}


def test_dev_questions_are_those_of_the_dev_split_among_its_answers() -> None:
    found = judged()
    assert len(found.queries) == 24
    assert all(text.endswith("today") for text in found.queries.values())
    assert all(answer in found.documents for grades in found.qrels.values() for answer in grades)
    assert dev_questions(synonym_pairs(dev=False)) is None
