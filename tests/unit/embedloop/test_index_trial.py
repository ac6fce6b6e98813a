"""What a trial's answers are measured against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from embedloop.encoder import Vectors
from embedloop.errors import InvalidInput
from embedloop.index_trial import Sample, truth_of
from embedloop.records.documents import Hit, Passage
from tests.unit.embedloop.test_vector_types import unit_vectors


def passage(number: int) -> Passage:
    return Passage(f"k{number}", str(number), 1, 0, "", "text", {})


def sample(vectors: Vectors, queries: Vectors) -> Sample:
    def read(start: int, stop: int) -> Sequence[Passage]:
        return [passage(number) for number in range(start, stop)]

    return Sample([f"k{number}" for number in range(len(vectors))], read, vectors, queries)


def hits(numbers: Iterable[Any]) -> list[Hit]:
    return [Hit(passage(number), 0.0) for number in numbers]


def test_the_last_nearest_is_that_of_brute_force_over_many_blocks() -> None:
    vectors, queries = unit_vectors(1500), unit_vectors(7, seed=2)
    truth = truth_of(sample(vectors, queries))
    np.testing.assert_allclose(truth.lowest, np.sort(queries @ vectors.T, axis=1)[:, -10], rtol=1e-5)


def test_a_hit_as_near_as_the_last_of_the_exact_is_found() -> None:
    vectors = unit_vectors(40)
    vectors[29] = vectors[30]
    query = vectors[30:31]
    order = np.argsort(-(vectors @ query[0]), kind="stable")
    truth = truth_of(sample(vectors, query))
    assert truth.recall(0, hits(order[:10])) == 1.0
    assert truth.recall(0, hits([*order[:9], order[-1]])) == pytest.approx(0.9)
    # Equal passages are equally right.
    last = truth_of(sample(np.vstack([vectors, vectors[order[9]][None]]), query))
    assert last.recall(0, hits([*order[:9], 40])) == 1.0


def test_of_fewer_than_ten_rows_all_are_to_be_found() -> None:
    vectors = unit_vectors(4)
    truth = truth_of(sample(vectors, vectors[:1]))
    assert truth.recall(0, hits(range(4))) == 1.0
    assert truth.recall(0, hits(range(3))) in (0.75, 1.0)
    assert truth.recall(0, []) == 0.0


@pytest.mark.parametrize(("rows", "queries"), [(0, 3), (3, 0)])
def test_nothing_is_measured_without_rows_and_queries(rows: int, queries: int) -> None:
    vectors = unit_vectors(3)
    with pytest.raises(InvalidInput, match=f"got {rows} rows and {queries} queries"):
        truth_of(sample(vectors[:rows], vectors[:queries]))
