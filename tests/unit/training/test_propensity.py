from __future__ import annotations

import random
from collections import Counter

import pytest

from training.propensity import LEAST_TAKEN, STEEPEST, Exposure, Propensity, estimate_propensity


def simulated(exponent: float, documents: int, views: int, seed: int = 7) -> list[Exposure]:
    """Documents of all kinds of relevance, the better ones shown higher, each now and then elsewhere."""
    rng = random.Random(seed)
    made = []
    for _ in range(documents):
        relevance = rng.random()
        home = 1 + round(9 * (1 - relevance))
        shown: Counter[int] = Counter()
        taken: Counter[int] = Counter()
        for _ in range(views):
            rank = home if rng.random() < 0.7 else rng.randint(1, 10)
            shown[rank] += 1
            taken[rank] += rng.random() < relevance * rank**-exponent
        made.append(Exposure(shown, taken))
    return made


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_bias_is_found_although_the_better_documents_stand_higher(
    exponent: float,
) -> None:
    found = estimate_propensity(simulated(exponent, documents=300, views=60))
    assert found.exponent == pytest.approx(exponent, abs=0.1)


def test_documents_that_never_moved_tell_nothing() -> None:
    still = [Exposure({rank: 1000}, {rank: 900 // rank}) for rank in range(1, 11)]
    assert estimate_propensity(still) == Propensity(0.0, 0)


def test_with_too_few_clicks_all_ranks_are_taken_alike() -> None:
    few = Exposure({1: 500, 5: 500}, {1: LEAST_TAKEN - 2, 5: 1})
    assert estimate_propensity([few]) == Propensity(0.0, LEAST_TAKEN - 1)


def test_estimate_stays_within_its_bounds() -> None:
    only_first = Exposure({1: 500, 5: 500}, {1: 400})
    only_last = Exposure({1: 500, 5: 500}, {5: 400})
    assert estimate_propensity([only_first]).exponent == STEEPEST
    assert estimate_propensity([only_last]).exponent == 0.0
