from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from training.learning_curve import Gains, LearningCurve, measure_curve

QUERIES = 200


def curve_of(truth: float, half: float, noise: float = 0.0, most: float = 0.5) -> LearningCurve:
    generator = np.random.default_rng(8)
    per_query = generator.normal(0, noise, QUERIES)

    def gains(rows: NDArray[np.int64], seed: int) -> Gains:
        return truth * len(rows) / (len(rows) + half) + per_query

    found = measure_curve(800, gains, at=(800, 3200), most=most)
    assert found is not None
    return found


def test_a_curve_that_saturates_is_extrapolated_beyond_its_points() -> None:
    found = curve_of(0.2, 400)
    assert found.expected[3200].mean == pytest.approx(0.2 * 3200 / 3600, abs=0.003)
    assert max(point.labels for point in found.points) == 800
    assert len(found.points) == 3 * 3 + 1
    assert found.expected[3200].high > found.expected[800].mean


def test_uncertainty_grows_with_the_spread_of_the_queries() -> None:
    calm, wild = curve_of(0.1, 400, noise=0.05), curve_of(0.1, 400, noise=0.4)
    width = [one.expected[800].high - one.expected[800].low for one in (calm, wild)]
    assert 0 < width[0] < width[1] / 3
    assert wild.expected[800].low <= wild.expected[800].mean <= wild.expected[800].high


def test_no_more_is_promised_than_the_oracle_leaves_and_nothing_when_labels_harm() -> None:
    assert curve_of(0.4, 100, most=0.05).expected[3200].mean <= 0.05
    assert curve_of(-0.2, 100).expected[3200].mean == 0.0
    assert curve_of(0.2, 100, most=0.0).expected[800].mean == 0.0


def test_too_few_labels_make_no_curve() -> None:
    assert measure_curve(9, lambda rows, seed: np.ones(3), at=(9,), most=1) is None
    assert measure_curve(0, lambda rows, seed: np.ones(3), at=(0,), most=1) is None


def test_a_curve_without_held_out_queries_is_refused() -> None:
    with pytest.raises(InvalidInput, match="held-out"):
        measure_curve(100, lambda rows, seed: np.empty(0), at=(100,), most=1)


def test_every_fit_sees_distinct_labels_of_those_there_are() -> None:
    seen: list[NDArray[np.int64]] = []

    def gains(rows: NDArray[np.int64], seed: int) -> Gains:
        seen.append(rows)
        return np.full(4, 0.1)

    measure_curve(64, gains, at=(64,), most=1)
    assert [len(rows) for rows in seen] == [8, 8, 8, 16, 16, 16, 32, 32, 32, 64]
    assert all(len(set(rows.tolist())) == len(rows) and rows.max() < 64 for rows in seen)
    assert seen[0].tolist() != seen[1].tolist()


def test_a_curve_is_json() -> None:
    told = curve_of(0.1, 50).to_json()
    assert json.loads(json.dumps(told))["expected"][0]["labels"] == 800
