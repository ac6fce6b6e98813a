"""Which rows must be encoded once more to know the exact nearest."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from embedloop.fidelity import MOST_REFINED, Candidates
from embedloop.policy import VectorType
from tests.unit.embedloop.test_vector_types import back, unit_vectors

COARSE = [one for one in get_args(VectorType) if one != "float32"]


@pytest.mark.parametrize("vector_type", COARSE)
@pytest.mark.parametrize("page", [7, 500])
def test_the_exact_nearest_are_among_those_in_question(vector_type: VectorType, page: int) -> None:
    vectors, queries = unit_vectors(500), unit_vectors(30, seed=3)
    candidates = Candidates(queries, 10, vector_type)
    stored = back(vectors, vector_type)
    for start in range(0, len(vectors), page):
        keys = [str(n) for n in range(start, min(start + page, len(vectors)))]
        candidates.add(keys, stored[start : start + page])
    nearest = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    for exact, keys in zip(nearest, candidates.in_question(), strict=True):
        assert {str(n) for n in exact} <= set(keys)
        assert len(keys) <= MOST_REFINED


def test_of_fewer_rows_than_are_wanted_all_are_in_question() -> None:
    candidates = Candidates(unit_vectors(2, seed=3), 10, "int8")
    candidates.add(["a", "b", "c"], back(unit_vectors(3), "int8"))
    assert [sorted(keys) for keys in candidates.in_question()] == [["a", "b", "c"]] * 2
    assert Candidates(unit_vectors(1), 10, "int8").in_question() == [[]]
