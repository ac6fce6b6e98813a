"""The benchmark of vector types: its rows, its bits, its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import vector_types_picture
from benchmarks.vector_types import bits_alone, mixed
from tests.unit.benchmarks.test_pictures import HEAD, PNG
from tests.unit.embedloop.test_vector_types import unit_vectors


def test_real_vectors_are_kept_and_filled_up_with_mixtures_of_length_one() -> None:
    vectors = unit_vectors(20)
    rows = mixed(vectors, 50, np.random.default_rng(1))
    np.testing.assert_allclose(rows[:20], vectors, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert len(np.unique(rows, axis=0)) == 50
    assert len(mixed(vectors, 5, np.random.default_rng(1))) == 5


def test_the_float_query_ranks_bits_better_than_bits_do() -> None:
    passages, queries = unit_vectors(300), unit_vectors(40, seed=2)
    found = bits_alone(passages, queries, queries @ passages.T)
    assert found["symmetric"] < found["asymmetric"] < 0.95


def test_the_types_are_drawn_beside_what_was_refused(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"name": "float32/HNSW", "recall_at_10": 0.99, "search_ms": {"p50": 5.0, "p95": 9.0}}
        | {"bytes_a_row": {"index": 1664, "beside": 0}},
        {"name": "int8/HNSW", "refused": "Milvus 2.3.5 cannot do int8; it can do binary, float32"},
    ]
    server = {"version": "v2.3.5-lite", "types": rows, "proposed": "float32/HNSW"}
    report = HEAD | {"settings": {"plan": {"rows": 20_000}, "dimension": 384}, "servers": {"engine": server}}
    vector_types_picture.draw(report, tmp_path / "vector-types.png")
    assert (tmp_path / "vector-types.png").read_bytes().startswith(PNG)
