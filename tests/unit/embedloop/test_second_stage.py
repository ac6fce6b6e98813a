"""The second stage of a search: its scores, its budget, and what it keeps of passages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from embedloop.catalog.database import Database
from embedloop.copying import passage_key
from embedloop.encoder import OnnxEncoder, Vectors, go_on
from embedloop.errors import ModelRefused
from embedloop.mapped import register_mapped
from embedloop.query_map import QueryMap
from embedloop.records.versions import ModelVersion
from embedloop.registry import ModelStore, load_encoder, register
from embedloop.second_stage import EncoderRescorer, Rescorers, has_rescorer, load_second_encoder
from embedloop.static_models import RESCORER_FOLDER
from tests.tiny_model import build_tiny_model
from training.export import export_onnx
from training.model_files import load_model, save_model
from training.static_folder import static_pipeline
from training.vocabulary.report import open_tokenizer

AXES = {"near": (1.0, 0.0), "far": (-1.0, 0.0), "aside": (0.0, 1.0)}


@dataclass
class FakeEncoder:
    """Knows a direction for the first word of a text; remembers the passages that it was given, and dawdles."""

    seconds: float = 0.0
    read: list[str] = field(default_factory=list)
    dimension: int = 2
    max_tokens: int = 64

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([(1.0, 0.0)] * len(texts), dtype=np.float32)

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        self.read += texts
        time.sleep(self.seconds * len(texts))
        return np.array([AXES.get(text.split()[0], (1.0, 0.0)) for text in texts], dtype=np.float32)


def test_score_is_the_cosine_moved_to_0_to_1() -> None:
    scores = EncoderRescorer(FakeEncoder()).score("asked", ["far", "near", "aside", "near"])
    np.testing.assert_allclose(scores, [0.0, 1.0, 0.5, 1.0])


def test_a_passage_is_read_once_while_it_is_kept() -> None:
    encoder = FakeEncoder()
    rescorer = EncoderRescorer(encoder, cached_passages=2)
    encoder.read.clear()
    rescorer.score("one", ["near", "far", "near"])
    rescorer.score("two", ["far", "near"])
    assert encoder.read == ["near", "far"]
    rescorer.score("three", ["aside"])
    encoder.read.clear()
    # The least recently used one has gone, the other one is still there.
    rescorer.score("four", ["near", "aside"])
    assert encoder.read == []
    rescorer.score("five", ["far"])
    assert encoder.read == ["far"]


def test_what_does_not_fit_the_budget_is_left_and_what_is_kept_costs_nothing() -> None:
    # Two thousandths of a second a passage, and a budget of one: none that is not kept fits.
    rescorer = EncoderRescorer(FakeEncoder(seconds=0.002))
    passages = [f"near {number:03} {'x' * 100}" for number in range(60)]
    assert len(rescorer.score("asked", passages[:20])) == 20
    assert len(rescorer.score("", passages, budget_seconds=0.001)) == 20
    assert len(rescorer.score("", passages[20:], budget_seconds=0.001)) == 0
    assert len(rescorer.score("asked", passages, budget_seconds=-1.0)) == 0
    assert len(rescorer.score("asked", [])) == 0


@pytest.fixture
def catalog(sqlite_url: str) -> Iterator[Database]:
    opened = Database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def two_stage(catalog: Database, model_store: ModelStore, tmp_path: Path) -> ModelVersion:
    """A static model whose answers a tiny one orders again, registered."""
    tuned = build_tiny_model(tmp_path / "tuned")
    tokenizer = open_tokenizer(tuned)
    rows = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 16)).astype(np.float32)
    folder = tmp_path / "static"
    save_model(static_pipeline(tokenizer, rows), folder)
    save_model(load_model(tuned), folder / RESCORER_FOLDER)

    def export(copy: Path) -> None:
        export_onnx(copy)
        export_onnx(copy / RESCORER_FOLDER)

    return register(catalog, model_store, folder, base="tiny", export=export)


def test_second_stage_is_part_of_its_model_version(
    two_stage: ModelVersion, model_store: ModelStore, tmp_path: Path
) -> None:
    assert has_rescorer(two_stage)
    assert (two_stage.dimension, two_stage.backend) == (16, "onnx")
    assert f"{RESCORER_FOLDER}/onnx/model.onnx" in two_stage.manifest
    first = load_encoder(model_store, two_stage, threads=1, batch_size=8)
    second = load_second_encoder(model_store, two_stage, threads=1)
    assert (first.dimension, second.dimension, second.max_tokens) == (16, 32, 64)
    tuned = tmp_path / "tuned"
    export_onnx(tuned)
    np.testing.assert_allclose(
        second.encode_passages(["gout"]), OnnxEncoder(tuned, max_tokens=64).encode_passages(["gout"]), atol=1e-5
    )


def test_changed_second_stage_is_refused(two_stage: ModelVersion, model_store: ModelStore) -> None:
    rescorers = Rescorers(model_store, threads=1)
    path = model_store.fetch(two_stage.model_id) / RESCORER_FOLDER / "model.safetensors"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelRefused, match="differs from its manifest"):
        rescorers.get(two_stage)


def test_versions_of_one_model_share_its_second_stage(
    two_stage: ModelVersion, tiny: ModelVersion, model_store: ModelStore
) -> None:
    rescorers = Rescorers(model_store, threads=1)
    first = rescorers.get(two_stage)
    assert first is not None
    assert rescorers.get(two_stage) is first
    assert rescorers.get(tiny) is None
    rescorers.keep(set())
    assert rescorers.get(two_stage) is not first


def test_map_of_queries_leaves_the_second_stage_in_its_place(
    two_stage: ModelVersion, catalog: Database, model_store: ModelStore
) -> None:
    turn = QueryMap.identity(16)
    mapped = register_mapped(
        catalog, model_store, two_stage, turn, corpus="c", training_set_id=None, metrics={}
    )
    assert load_second_encoder(model_store, mapped, threads=1).dimension == 32


def test_passages_of_a_static_model_are_the_same_with_and_without_a_second_stage(
    two_stage: ModelVersion, catalog: Database, model_store: ModelStore, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    save_model(load_model(tmp_path / "static"), alone)
    other = register(catalog, model_store, alone, base="tiny", export=lambda copy: export_onnx(copy) and None)
    assert other.model_id != two_stage.model_id
    assert passage_key(other) == passage_key(two_stage)
