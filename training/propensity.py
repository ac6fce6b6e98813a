"""How likely a person looks at a rank, estimated from what was shown and taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Below this many takings of documents that were seen at several ranks, nothing is estimated.
LEAST_TAKEN = 100
STEEPEST = 2.0
_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Exposure:
    """One document for one query: how often it was shown at each rank (from 1), and how often taken there."""

    shown: Mapping[int, int]
    taken: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Propensity:
    """Examination of rank r relative to rank 1: `r ** -exponent`; 0 says that all ranks are looked at alike.

    `taken` is how many clicks and thumbs told it: those on documents that were seen at several ranks.
    """

    exponent: float = 0.0
    taken: int = 0

    def weight(self, rank: int | None, most: float) -> float:
        """What a click at this rank counts: the inverse propensity, clipped at `most`.

        >>> Propensity(1.0).weight(3, most=10.0), Propensity(1.0).weight(3, most=2.0)
        (3.0, 2.0)
        >>> Propensity(1.0).weight(None, most=2.0)
        1.0
        """
        return 1.0 if rank is None else min(float(rank) ** self.exponent, most)


def estimate_propensity(exposures: Iterable[Exposure]) -> Propensity:
    """Estimates the position bias from documents that one and the same query showed at several ranks.

    Swaps of the index version, live writes and filters move documents about: these are interventions that
    nobody had to plan (intervention harvesting, Agarwal et al. 2019, "Estimating Position Bias without
    Intrusive Interventions"). Of each (query, document) only how its takings spread over its ranks is used, so
    that relevance, the same at every rank, cancels; the examination is one power of the rank (Joachims et al.
    2017), fitted by the conditional Poisson likelihood (Hausman et al. 1984), which is concave and right for
    any number of documents. EM over ranks (Wang et al. 2018) fits a relevance for each document besides, and
    with few clicks takes the ranker's being right for position bias.

    Args:
        exposures: One for each (query, document); those that were taken nowhere say nothing.

    Returns:
        An exponent of 0..2; 0 with fewer than 100 takings to learn from.

    >>> moved = Exposure(shown={1: 400, 4: 400}, taken={1: 200, 4: 50})
    >>> round(estimate_propensity([moved]).exponent, 2)
    1.0
    >>> estimate_propensity([Exposure(shown={1: 400}, taken={1: 200})])
    Propensity(exponent=0.0, taken=0)
    """
    moved = [one for one in exposures if len(one.shown) > 1 and any(one.taken.values())]
    taken = sum(sum(one.taken.values()) for one in moved)
    if taken < LEAST_TAKEN:
        return Propensity(0.0, taken)
    low, high = 0.0, STEEPEST
    if _slope(moved, low) <= 0:
        return Propensity(low, taken)
    if _slope(moved, high) >= 0:
        return Propensity(high, taken)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(moved, middle) > 0 else (low, middle)
    return Propensity((low + high) / 2, taken)


def _slope(exposures: Iterable[Exposure], exponent: float) -> float:
    """Derivative of the conditional log-likelihood; it falls as the exponent grows."""
    total = 0.0
    for one in exposures:
        expected = {rank: count * rank**-exponent for rank, count in one.shown.items()}
        mean = sum(share * math.log(rank) for rank, share in expected.items()) / sum(expected.values())
        total += sum(count * (mean - math.log(rank)) for rank, count in one.taken.items())
    return total
