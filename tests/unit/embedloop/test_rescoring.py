"""Hits of coarse vectors, scored again."""

from __future__ import annotations

import numpy as np
import pytest

from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit, Passage
from embedloop.rescoring import candidates, is_coarse, rescored

DIMENSION = 24


def hit(number: int, score: float = 0.0) -> Hit:
    return Hit(Passage(f"k{number}", f"d{number}", 1, 0, "", "text", {}), score)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [1, 7, 60])
def test_the_order_is_the_exact_order_among_the_candidates(seed: int, limit: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(40, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[0]
    coarse = [hit(n, float(random.normal())) for n in range(40)]
    found = rescored(query, coarse, list(vectors), limit)
    exact = vectors @ query
    assert [one.passage.document_id for one in found] == [f"d{n}" for n in np.argsort(-exact)[:limit]]
    np.testing.assert_allclose([one.score for one in found], np.sort(exact)[::-1][:limit], rtol=1e-6)


def test_equals_stay_in_the_order_of_the_coarse_search() -> None:
    query = np.eye(DIMENSION, dtype=np.float32)[0]
    found = rescored(query, [hit(3), hit(1), hit(2)], [query, query, query], 2)
    assert [one.passage.document_id for one in found] == ["d3", "d1"]


def test_nothing_found_is_nothing_to_score() -> None:
    assert rescored(np.ones(DIMENSION, dtype=np.float32), [], [], 3) == []


@pytest.mark.parametrize(
    ("settings", "coarse"),
    [
        (IndexSettings(), False),
        (IndexSettings(vector_type="float16"), False),
        (IndexSettings(vector_type="bfloat16"), False),
        # Milvus ranks these again by itself.
        (IndexSettings(index_type="HNSW_SQ"), False),
        (IndexSettings(index_type="IVF_RABITQ"), False),
        (IndexSettings(index_type="IVF_SQ8"), True),
        (IndexSettings(vector_type="int8"), True),
        (IndexSettings(vector_type="binary", index_type="FLAT"), True),
    ],
)
def test_only_what_milvus_ranks_coarsely_is_scored_again(settings: IndexSettings, coarse: bool) -> None:
    assert is_coarse(settings) is coarse
    assert (candidates(settings, 10) > 10) is coarse


def test_the_excess_is_bounded_and_never_less_than_what_is_wanted() -> None:
    greedy = IndexSettings(vector_type="binary", index_type="FLAT", rescore_factor=64)
    assert [candidates(greedy, limit) for limit in (1, 10, 100, 5000)] == [64, 640, 2000, 5000]
    assert candidates(IndexSettings(vector_type="int8", rescore_factor=1), 10) == 10
