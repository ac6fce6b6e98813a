"""The benchmark of vector types: its rows, its recall, its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import vector_types_picture
from benchmarks.vector_types import SETTINGS, bits_alone, bytes_a_row, mixed, recall
from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit, Passage
from tests.unit.benchmarks.test_pictures import HEAD, PNG
from tests.unit.embedloop.test_vector_types import unit_vectors


def hit(number: int) -> Hit:
    return Hit(Passage(f"k{number}", str(number), 1, 0, "", "text", {}), 0.0)


def test_real_vectors_are_kept_and_filled_up_with_mixtures_of_length_one() -> None:
    vectors = unit_vectors(20)
    rows = mixed(vectors, 50, np.random.default_rng(1))
    np.testing.assert_allclose(rows[:20], vectors, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert len(np.unique(rows, axis=0)) == 50
    assert len(mixed(vectors, 5, np.random.default_rng(1))) == 5


def test_a_hit_as_near_as_the_last_of_the_exact_is_found() -> None:
    scores = np.linspace(0, 1, 40, dtype=np.float32)
    scores[29] = scores[30]
    assert recall([hit(n) for n in (*range(31, 40), 29)], scores) == 1.0
    assert recall([hit(n) for n in (*range(31, 40), 3)], scores) == pytest.approx(0.9)


def test_the_float_query_ranks_bits_better_than_bits_do() -> None:
    passages, queries = unit_vectors(300), unit_vectors(40, seed=2)
    found = bits_alone(passages, queries, queries @ passages.T)
    assert found["symmetric"] < found["asymmetric"] < 0.95


def test_every_coarser_row_is_smaller_than_that_of_hnsw_in_float32() -> None:
    whole = sum(bytes_a_row(IndexSettings(), 384).values())
    assert all(sum(bytes_a_row(one, 384).values()) < whole for one in SETTINGS[1:])


def test_the_types_are_drawn_beside_what_was_refused(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"name": "float32/HNSW", "recall_at_10": 0.99, "search_ms": {"p50": 5.0}}
        | {"bytes_a_row": {"index": 1664, "beside": 0}},
        {"name": "int8/HNSW", "refused": "Milvus 2.3.5 cannot do int8; it can do binary, float32"},
    ]
    server = {"version": "v2.3.5-lite", "types": rows, "proposed": "float32/HNSW"}
    report = HEAD | {"settings": {"plan": {"rows": 20_000}, "dimension": 384}, "servers": {"engine": server}}
    vector_types_picture.draw(report, tmp_path / "vector-types.png")
    assert (tmp_path / "vector-types.png").read_bytes().startswith(PNG)
