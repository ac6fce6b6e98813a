from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from training.adapter import adapted, fit_adapter

Matrix = NDArray[np.float32]


def unit(rows: NDArray[np.float64]) -> Matrix:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def turned(count: int, dimension: int = 16) -> tuple[Matrix, Matrix, list[str]]:
    """Queries that are their documents, half turned towards a fixed other direction."""
    generator = np.random.default_rng(4)
    documents = unit(generator.normal(size=(count, dimension)))
    turn, _ = np.linalg.qr(generator.normal(size=(dimension, dimension)))
    return unit(0.4 * documents + documents @ turn), documents, [f"d{n}" for n in range(count)]


def found_first(queries: Matrix, documents: Matrix) -> float:
    return float(np.mean(np.argmax(queries @ documents.T, axis=1) == np.arange(len(queries))))


def test_a_map_that_labels_teach_helps_queries_that_were_not_among_them() -> None:
    queries, documents, ids = turned(400)
    adapter = fit_adapter(queries[:300], documents[:300], ids[:300])
    before = found_first(queries[300:], documents[300:])
    after = found_first(adapted(queries[300:], adapter), documents[300:])
    assert after > before + 0.2


def test_labels_that_teach_nothing_leave_queries_about_where_they_were() -> None:
    generator = np.random.default_rng(6)
    queries, documents = (unit(generator.normal(size=(60, 32))) for _ in range(2))
    moved = adapted(queries, fit_adapter(queries, documents, [f"d{n}" for n in range(60)]))
    assert float(np.mean(np.sum(moved * queries, axis=1))) > 0.9


def test_pairs_of_one_document_are_not_each_others_negatives() -> None:
    queries, documents, _ = turned(40)
    same = np.repeat(documents[:1], 40, axis=0)
    np.testing.assert_array_equal(fit_adapter(queries, same, ["one"] * 40), np.eye(16, dtype=np.float32))


def test_the_same_seed_gives_the_same_map() -> None:
    queries, documents, ids = turned(50)
    first, second = (fit_adapter(queries, documents, ids, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("queries", "ids"), [(1, 1), (3, 2), (0, 0)])
def test_what_is_no_pair_is_refused(queries: int, ids: int) -> None:
    rows, documents, names = turned(5)
    with pytest.raises(InvalidInput, match="two pairs"):
        fit_adapter(rows[:queries], documents[:queries], names[:ids])
