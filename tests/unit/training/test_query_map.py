from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from embedloop.errors import InvalidInput, JobCancelled
from embedloop.query_map import QueryMap
from embedloop.recipe.query_map import MapKind, QueryMapSettings
from training.map_kinds import Matrix, Pairs, learn_map, turn_between
from training.query_map import fit_query_map

AFFINE = QueryMapSettings()
KINDS = [QueryMapSettings(kind=kind, rank=8, hidden=32) for kind in get_args(MapKind)]


def unit(rows: NDArray[np.float64]) -> Matrix:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def turned(count: int, dimension: int = 16) -> Pairs:
    """Queries that are their documents, half turned towards a fixed other direction."""
    generator = np.random.default_rng(4)
    documents = unit(generator.normal(size=(count, dimension)))
    turn, _ = np.linalg.qr(generator.normal(size=(dimension, dimension)))
    return Pairs(unit(0.4 * documents + documents @ turn), documents, [f"d{n}" for n in range(count)])


def rows(first: int, last: int) -> NDArray[np.int64]:
    return np.arange(first, last)


def found_first(found: QueryMap, pairs: Pairs) -> float:
    nearest = np.argmax(found.apply(pairs.queries) @ pairs.positives.T, axis=1)
    return float(np.mean(nearest == np.arange(len(pairs))))


def same(one: QueryMap) -> bool:
    return np.array_equal(one.matrix, np.eye(len(one.matrix))) and not one.bias.any() and not one.up.any()


@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one.kind)
def test_a_map_that_labels_teach_helps_queries_that_were_not_among_them(settings: QueryMapSettings) -> None:
    pairs = turned(400)
    seen, unseen = pairs.take(rows(0, 300)), pairs.take(rows(300, 400))
    fitted = fit_query_map(seen, settings)
    assert found_first(fitted.query_map, unseen) > found_first(QueryMap.identity(16), unseen) + 0.1
    assert fitted.after > fitted.before
    assert fitted.learnt_from + fitted.chosen_on == 300


@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one.kind)
def test_where_nothing_can_be_gained_nothing_is_changed(settings: QueryMapSettings) -> None:
    pairs = turned(80)
    fitted = fit_query_map(Pairs(pairs.positives, pairs.positives, pairs.documents), settings)
    assert fitted.share == 0
    assert same(fitted.query_map)


def test_pairs_of_one_document_teach_nothing() -> None:
    pairs = turned(40)
    one = Pairs(pairs.queries, np.repeat(pairs.positives[:1], 40, axis=0), ["one"] * 40)
    assert same(fit_query_map(one, AFFINE).query_map)


def test_documents_that_choose_are_not_learnt_from() -> None:
    """A map that knows the one document by heart is worth nothing for the others."""
    pairs = turned(40)
    names = [f"d{n // 4}" for n in range(40)]
    fitted = fit_query_map(Pairs(pairs.queries, pairs.positives, names), AFFINE)
    assert (fitted.learnt_from, fitted.chosen_on) == (32, 8)


def test_enough_queries_of_the_dev_split_choose_and_every_other_pair_teaches() -> None:
    pairs = turned(200)
    dev = pairs.take(rows(150, 200))
    fitted = fit_query_map(pairs.take(rows(0, 150)), AFFINE, dev=dev)
    assert (fitted.learnt_from, fitted.chosen_on) == (150, 50)
    few = fit_query_map(pairs.take(rows(0, 150)), AFFINE, dev=dev.take(rows(0, 19)))
    assert (few.learnt_from, few.chosen_on) == (120, 30)


@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one.kind)
def test_regularisation_holds_a_map_near_the_identity(settings: QueryMapSettings) -> None:
    pairs = turned(100)

    def moved(regularisation: float) -> float:
        one = settings.model_copy(update={"regularisation": regularisation})
        return float(np.linalg.norm(learn_map(pairs, one, 13).apply(pairs.queries) - pairs.queries))

    assert moved(100.0) < 0.5 * moved(0.0)


def test_a_turn_is_found_exactly_and_is_a_turn_also_between_dimensions() -> None:
    generator = np.random.default_rng(5)
    documents = unit(generator.normal(size=(200, 12)))
    turn, _ = np.linalg.qr(generator.normal(size=(12, 12)))
    np.testing.assert_allclose(turn_between(documents, unit(documents @ turn)), turn, atol=1e-5)
    across = turn_between(documents, documents[:, :8])
    assert across.shape == (12, 8)
    np.testing.assert_allclose(across.T @ across, np.eye(8), atol=1e-5)


def test_the_same_seed_gives_the_same_map() -> None:
    pairs = turned(50)
    first, second = (fit_query_map(pairs, AFFINE, seed=3).query_map for _ in range(2))
    np.testing.assert_array_equal(first.matrix, second.matrix)


def test_a_fit_ends_when_it_is_told_to() -> None:
    def cancelled() -> None:
        raise JobCancelled("enough")

    with pytest.raises(JobCancelled):
        fit_query_map(turned(50), AFFINE, check=cancelled)


@pytest.mark.parametrize(("queries", "ids"), [(1, 1), (3, 2), (0, 0)])
def test_what_is_no_pair_is_refused(queries: int, ids: int) -> None:
    pairs = turned(5)
    with pytest.raises(InvalidInput, match="pairs"):
        fit_query_map(Pairs(pairs.queries[:queries], pairs.positives[:queries], pairs.documents[:ids]), AFFINE)
