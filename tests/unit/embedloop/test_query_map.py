"""A map of queries: its file, and model versions that have one."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from embedloop.catalog import models
from embedloop.catalog.database import Database
from embedloop.copying import passage_key
from embedloop.encoder import Vectors
from embedloop.errors import ModelRefused
from embedloop.mapped import has_map, register_mapped
from embedloop.query_map import QUERY_MAP_FILE, QueryMap
from embedloop.records.versions import ModelVersion
from embedloop.registry import ModelStore, load_encoder

TEXTS = ["nose bleeding", "heart attack", "kidney stone"]


def drawn(*shape: int, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def curved(entering: int = 4, leaving: int = 3, hidden: int = 2) -> QueryMap:
    return QueryMap(
        matrix=drawn(entering, leaving, seed=1),
        bias=drawn(leaving, seed=2),
        down=drawn(entering, hidden, seed=3),
        shift=drawn(hidden, seed=4),
        up=drawn(hidden, leaving, seed=5),
    )


def register_one(
    database: Database, store: ModelStore, passages: ModelVersion, found: QueryMap, queries: ModelVersion | None
) -> ModelVersion:
    with database.write() as connection:
        models.add(connection, passages)
    return register_mapped(
        database,
        store,
        passages,
        found,
        queries=queries,
        corpus="notes",
        training_set_id=None,
        metrics={"query_map": {"kind": "affine"}},
    )


def test_a_map_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = curved()
    written.save(tmp_path)
    read = QueryMap.load(tmp_path)
    vectors = drawn(5, 4, seed=9)
    np.testing.assert_array_equal(read.apply(vectors), written.apply(vectors))


def test_mapped_vectors_are_float32_normalised_and_follow_the_formula() -> None:
    one, vectors = curved(), drawn(5, 4, seed=9)
    moved = vectors @ one.matrix + one.bias + np.tanh(vectors @ one.down + one.shift) @ one.up
    found = one.apply(vectors)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found, moved / np.linalg.norm(moved, axis=1, keepdims=True), atol=1e-6)


def test_a_share_of_nothing_is_the_identity_and_of_all_the_map() -> None:
    one, vectors = curved(4, 4), drawn(5, 4, seed=9)
    same = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(one.weakened(0).apply(vectors), same, atol=1e-6)
    np.testing.assert_allclose(one.weakened(1).apply(vectors), one.apply(vectors), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("matrix", drawn(4, 5)),
        ("bias", drawn(3, 1)),
        ("down", np.full((4, 2), np.nan, dtype=np.float32)),
        ("up", drawn(2, 3).astype(np.float64)),
        ("sideways", drawn(1)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, name: str, tensor: Vectors) -> None:
    one = curved()
    tensors = {part: getattr(one, part) for part in ("matrix", "bias", "down", "shift", "up")}
    save_file({**tensors, name: tensor}, tmp_path / QUERY_MAP_FILE)
    with pytest.raises(ModelRefused, match=QUERY_MAP_FILE):
        QueryMap.load(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"no safetensors"])
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / QUERY_MAP_FILE).write_bytes(content)
    with pytest.raises(ModelRefused, match="no query map"):
        QueryMap.load(tmp_path)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_model_version_with_a_map_moves_queries_alone(
    database: Database, model_store: ModelStore, tiny: ModelVersion, backend: str
) -> None:
    one = QueryMap.linear(drawn(32, 32, seed=7))
    mapped = register_one(database, model_store, tiny, one, None)
    plain = load_encoder(model_store, replace(tiny, backend=backend), threads=1, batch_size=8)
    encoder = load_encoder(model_store, replace(mapped, backend=backend), threads=1, batch_size=8)
    assert (encoder.dimension, encoder.max_tokens) == (plain.dimension, plain.max_tokens)
    np.testing.assert_array_equal(encoder.encode_passages(TEXTS), plain.encode_passages(TEXTS))
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), one.apply(plain.encode_queries(TEXTS)), atol=1e-5)


def test_a_map_makes_another_model_version_with_the_same_passages(
    database: Database, model_store: ModelStore, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    one = QueryMap.linear(drawn(32, 32, seed=8))
    mapped = register_one(database, model_store, tiny, one, None)
    assert has_map(mapped)
    assert not has_map(tiny)
    assert mapped.model_id != tiny.model_id
    assert (mapped.parent, mapped.base) == (tiny.model_id, tiny.base)
    assert QUERY_MAP_FILE in mapped.manifest
    assert passage_key(mapped) == passage_key(tiny)
    assert passage_key(other_tiny) != passage_key(tiny)


def test_a_bridge_encodes_queries_with_the_one_model_and_passages_with_the_other(
    database: Database, model_store: ModelStore, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    across = QueryMap.linear(drawn(48, 32, seed=6))
    bridge = register_one(database, model_store, tiny, across, other_tiny)
    old = load_encoder(model_store, tiny, threads=1, batch_size=8)
    new = load_encoder(model_store, other_tiny, threads=1, batch_size=8)
    encoder = load_encoder(model_store, bridge, threads=1, batch_size=8)
    assert bridge.dimension == encoder.dimension == 32
    np.testing.assert_array_equal(encoder.encode_passages(TEXTS), old.encode_passages(TEXTS))
    np.testing.assert_allclose(
        encoder.encode_queries(TEXTS), across.apply(new.encode_queries(TEXTS)), atol=1e-5
    )
    assert passage_key(bridge) == passage_key(tiny)


def test_a_map_that_does_not_fit_its_models_is_never_registered(
    database: Database, model_store: ModelStore, tiny: ModelVersion
) -> None:
    with pytest.raises(ModelRefused, match="from 8 to 32"):
        register_one(database, model_store, tiny, QueryMap.linear(drawn(8, 32)), None)
    with database.read() as connection:
        assert models.every(connection) == [tiny]


def test_a_map_that_was_tampered_with_is_refused(
    database: Database, model_store: ModelStore, tiny: ModelVersion
) -> None:
    unlike_any_other = QueryMap.linear(drawn(32, 32, seed=uuid.uuid4().int % 2**32))
    mapped = register_one(database, model_store, tiny, unlike_any_other, None)
    QueryMap.identity(32).save(model_store.fetch(mapped.model_id))
    with pytest.raises(ModelRefused, match="differs from its manifest"):
        load_encoder(model_store, mapped, threads=1, batch_size=8)
