from __future__ import annotations

import pytest

from training.schedule import budget_share, epochs_for, rate_share


def test_more_pairs_are_never_seen_more_often() -> None:
    often = [epochs_for(pairs) for pairs in (1, 500, 1000, 2000, 4000, 8000)]
    assert often == sorted(often, reverse=True)
    assert often[-1] == 1.0


@pytest.mark.parametrize("fraction", [0.3, 0.9, 1.0])
def test_training_that_fits_into_its_budget_does_not_meet_it(fraction: float) -> None:
    steps, warmup, budget = 200, 20, 100.0
    for step in range(steps + 1):
        spent = fraction * budget * step / steps
        assert budget_share(spent, budget) >= rate_share(step, steps, warmup)


def test_rate_without_warm_up_begins_in_full() -> None:
    assert rate_share(0, steps=10, warmup=0) == 1.0


def test_training_that_is_all_warm_up_ends_with_the_full_rate() -> None:
    assert rate_share(9, steps=10, warmup=10) == 0.9
