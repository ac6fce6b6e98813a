"""Packing vectors into fewer bits: what comes back, how far it is off, and what pymilvus makes of it."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from embedloop.index_rows import as_found, as_row, passage_id
from embedloop.index_schema import collection_schema, vector_type_of
from embedloop.policy import IndexSettings, VectorType
from embedloop.records.documents import Passage
from embedloop.vector_types import beside, error_bounds, finest_field, packed, unpacked

TYPES = get_args(VectorType)
DIMENSION = 36
SETTINGS: dict[str, IndexSettings] = {
    name: IndexSettings(vector_type=name, index_type="FLAT" if name == "binary" else "HNSW") for name in TYPES
}


def unit_vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def finest(vectors: NDArray[np.float32], vector_type: VectorType) -> list[Any]:
    """The finest field of each row as a search of pymilvus hands it out."""
    if vector_type == "float32":
        return [row.tolist() for row in vectors]
    if vector_type == "binary":
        return [row["fine"] for row in beside(vectors, vector_type)]
    return [row.tobytes() for row in packed(vectors, vector_type)]


def back(vectors: NDArray[np.float32], vector_type: VectorType) -> NDArray[np.float32]:
    return np.stack([unpacked(one, vector_type) for one in finest(vectors, vector_type)])


@pytest.mark.parametrize("vector_type", TYPES)
def test_a_cosine_is_never_off_by_more_than_the_bound(vector_type: VectorType) -> None:
    vectors, queries = unit_vectors(400), unit_vectors(50, seed=1)
    # One whose numbers differ as much as can be, and the query that sees most of an error.
    vectors[0] = 0.001
    vectors[0, 0] = np.sqrt(1 - (DIMENSION - 1) * 0.001**2)
    stored = back(vectors, vector_type)
    errors = vectors - stored
    worst = errors / np.maximum(np.linalg.norm(errors, axis=1, keepdims=True), 1e-30)
    bounds = error_bounds(stored, vector_type)
    off = np.abs(np.vstack([queries, worst]) @ errors.T).max(axis=0)
    assert (off <= bounds).all()
    assert (bounds > 0).all() == (vector_type != "float32")


@pytest.mark.parametrize("vector_type", TYPES)
def test_packing_what_was_unpacked_changes_no_bit(vector_type: VectorType) -> None:
    once = unit_vectors(300)
    twice = back(once, vector_type)
    for first, second in zip(packed(once, vector_type), packed(twice, vector_type), strict=True):
        np.testing.assert_array_equal(first, second)
    assert beside(once, vector_type) == beside(twice, vector_type)


@pytest.mark.parametrize("vector_type", TYPES)
def test_a_vector_of_zeros_stays_one(vector_type: VectorType) -> None:
    zeros = np.zeros((1, DIMENSION), dtype=np.float32)
    np.testing.assert_array_equal(back(zeros, vector_type), zeros)


def test_bits_say_where_the_finer_numbers_are_above_zero() -> None:
    vectors = unit_vectors(20)
    bits = np.unpackbits(np.stack(packed(vectors, "binary")), axis=1, count=DIMENSION)
    np.testing.assert_array_equal(bits == 1, back(vectors, "binary") > 0)
    assert bits.mean() == pytest.approx((vectors > 0).mean(), abs=0.02)


@pytest.mark.parametrize("vector_type", TYPES)
def test_pymilvus_takes_the_rows_and_hands_the_same_vectors_out(vector_type: VectorType) -> None:
    # Servers that store 16 bits and int8 are not at hand: this is what they would be sent.
    vectors = unit_vectors(3)
    schema = collection_schema(DIMENSION, SETTINGS[vector_type]).to_dict()
    assert vector_type_of(schema) == vector_type
    rows = [
        as_row(Passage(passage_id("d", 1, n), "d", 1, n, "title", "text", {}), vector) | others
        for n, (vector, others) in enumerate(
            zip(packed(vectors, vector_type), beside(vectors, vector_type), strict=True)
        )
    ]
    request = Prepare.row_upsert_param(
        "c", rows, "_default", fields_info=schema["fields"], enable_dynamic=False
    )
    sent = {one.field_name: one for one in request.fields_data}
    field = sent[finest_field(vector_type)]
    handed_out = _handed_out(field, len(rows))
    for vector, stored in zip(back(vectors, vector_type), handed_out, strict=True):
        entity = {"passage_id": "k", "document_id": "d", "rev": 1, finest_field(vector_type): stored}
        np.testing.assert_array_equal(as_found(entity, vector_type).vector, vector)


@pytest.mark.parametrize(
    ("vector_type", "placeholder"),
    [
        ("float32", common_pb2.PlaceholderType.FloatVector),
        ("float16", common_pb2.PlaceholderType.Float16Vector),
        ("bfloat16", common_pb2.PlaceholderType.BFloat16Vector),
        ("int8", common_pb2.PlaceholderType.Int8Vector),
        ("binary", common_pb2.PlaceholderType.BinaryVector),
    ],
)
def test_pymilvus_sends_queries_of_the_type_of_the_rows(vector_type: VectorType, placeholder: int) -> None:
    queries = packed(unit_vectors(2), vector_type)
    request: milvus_pb2.SearchRequest = Prepare.search_requests_with_expr(
        "c", "vector", {"metric_type": "COSINE"}, 3, queries
    )
    group = common_pb2.PlaceholderGroup.FromString(request.placeholder_group)
    assert group.placeholders[0].type == placeholder
    assert list(group.placeholders[0].values) == [query.tobytes() for query in queries]


def _handed_out(field: Any, rows: int) -> list[Any]:
    from pymilvus.client.field_data_extractors import decode_range

    return list(decode_range(field, 0, rows))
