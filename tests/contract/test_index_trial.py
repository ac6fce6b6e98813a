"""A trial's measuring on real servers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from embedloop.errors import JobCancelled
from embedloop.index import MilvusIndex
from embedloop.index_trial import Sample, Truth, measured, refusal, truth_of
from embedloop.policy import IndexSettings
from embedloop.records.documents import Passage
from tests.contract.test_index import passage, unit_vectors

DIMENSION = 64
# More than one message, and enough for an index.
ROWS = 1500
HNSW = IndexSettings(ef_search=512)
# Nearly every row of this many is scored again.
BITS = IndexSettings(vector_type="binary", index_type="FLAT", rescore_factor=64)


@pytest.fixture(scope="module")
def truth() -> Truth:
    rows = [passage(f"d{n}") for n in range(ROWS)]

    def read(start: int, stop: int) -> Sequence[Passage]:
        return rows[start:stop]

    vectors = unit_vectors(ROWS, dimension=DIMENSION)
    queries = unit_vectors(20, seed=5, dimension=DIMENSION)
    return truth_of(Sample([row.passage_id for row in rows], read, vectors, queries))


@pytest.mark.parametrize("settings", [HNSW, BITS], ids=lambda one: f"{one.vector_type}-{one.index_type}")
def test_a_candidate_is_built_searched_and_dropped(
    index: MilvusIndex, unique: str, truth: Truth, settings: IndexSettings
) -> None:
    if reason := refusal(index, settings):
        assert "Milvus Lite" in reason
        assert "cannot do binary" in reason
        return
    row = measured(index, unique, settings, truth)
    assert not index.exists(unique)
    assert (row["vector_type"], row["index_type"]) == (settings.vector_type, settings.index_type)
    assert row["recall_at_10"] >= 0.95
    assert 0 < row["search_ms"]["p50"] <= row["search_ms"]["p95"]
    assert row["bytes_a_row"]["index"] == (8 if settings is BITS else 4 * DIMENSION + 128)


def test_a_trial_that_is_cancelled_between_two_messages_leaves_no_collection(
    index: MilvusIndex, unique: str, truth: Truth
) -> None:
    def cancel_when_half_filled(fraction: float) -> None:
        if fraction > 0:
            assert index.exists(unique)
            raise JobCancelled("job j-1 was cancelled")

    with pytest.raises(JobCancelled):
        measured(index, unique, HNSW, truth, progress=cancel_when_half_filled)
    assert not index.exists(unique)
