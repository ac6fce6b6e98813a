"""Against forgetting: weights between base and tuned, and the rule that chooses among them.

Interpolating the weights of a tuned model with those that it started from keeps most of what was learnt and
most of what was known (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903; for embedding models LM-Cocktail,
Xiao et al. 2023, arXiv:2311.13534).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from embedloop.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One mixture: `alpha` is the share of the tuned weights (0 base, 1 tuned).

    `dev` and `general` are nDCG@10, 0..1, greater is better; None where there is no such set.
    """

    alpha: float
    dev: float | None
    general: float | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """All mixtures that were measured, the one that was chosen, and why."""

    points: tuple[SweepPoint, ...]
    alpha: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def choose_alpha(points: Iterable[SweepPoint], max_general_drop: float) -> Sweep:
    """Chooses the best mixture on dev among those that forget no more than allowed.

    Forgotten is what a mixture has less on the general set than the best of all has: where general pairs are
    mixed into the training, a mixture may know more there than the base, and that would hide what it lost
    elsewhere. The base (alpha 0) is never chosen. Of equals on dev the one that forgets less wins, then the one
    nearer to the base. Without a dev set the largest allowed alpha is taken; where all forget too much, the one
    that forgets least, and the gate will say no.

    Args:
        points: Measured mixtures, among them alpha 0 and at least one other.
        max_general_drop: Most that `general` may lose.

    Raises:
        InvalidInput: The base, or everything but the base, is missing.

    >>> measured = [SweepPoint(0, 0.60, 0.50), SweepPoint(0.5, 0.70, 0.50), SweepPoint(1, 0.72, 0.46)]
    >>> choose_alpha(measured, 0.01).alpha
    0.5
    >>> choose_alpha(measured, 0.05).alpha
    1
    >>> choose_alpha([SweepPoint(0, 0.6, 0.5), SweepPoint(0.5, 0.7, 0.53), SweepPoint(1, 0.8, 0.5)], 0.01).alpha
    0.5
    >>> choose_alpha([SweepPoint(0, 0.6, 0.5), SweepPoint(0.5, 0.7, 0.4), SweepPoint(1, 0.8, 0.3)], 0.01).reason
    'every mixture loses more than 0.01 on the general set: the one that loses least'
    >>> choose_alpha([SweepPoint(alpha, None, None) for alpha in (0, 0.5, 1)], 0.01).alpha
    1
    """
    ordered = tuple(sorted(points, key=lambda point: point.alpha))
    if len(ordered) < 2 or ordered[0].alpha != 0:
        raise InvalidInput(f"a sweep needs alpha 0 and one more, got {[point.alpha for point in ordered]}")
    base, tuned = ordered[0], ordered[1:]
    drops = _lost(ordered)
    allowed = [point for point in tuned if drops[point.alpha] <= max_general_drop]
    if not allowed:
        least = min(tuned, key=lambda point: (drops[point.alpha], point.alpha))
        return Sweep(
            ordered,
            least.alpha,
            f"every mixture loses more than {max_general_drop:g} on the general set: the one that loses least",
        )
    if allowed[0].dev is None:
        return Sweep(ordered, allowed[-1].alpha, "no dev set: the largest alpha that the general set allows")
    best = max(allowed, key=lambda point: (point.dev or 0.0, -drops[point.alpha], -point.alpha))
    measured = "dev" if base.general is None else "dev among those that the general set allows"
    return Sweep(ordered, best.alpha, f"best on {measured}")


def refined_alpha(points: Iterable[SweepPoint], max_general_drop: float) -> float | None:
    """Halfway between the choice and the next larger mixture, where only forgetting forbids that one.

    None where nothing is to be gained there: the larger one is allowed, or no better on dev.

    >>> measured = [SweepPoint(0, 0.60, 0.50), SweepPoint(0.25, 0.70, 0.50), SweepPoint(0.5, 0.72, 0.46)]
    >>> refined_alpha(measured, 0.01), refined_alpha(measured, 0.05)
    (0.375, None)
    >>> refined_alpha([SweepPoint(0, 0.6, 0.5), SweepPoint(0.25, 0.7, 0.5), SweepPoint(0.5, 0.6, 0.4)], 0.01)
    """
    ordered = sorted(points, key=lambda point: point.alpha)
    chosen = choose_alpha(ordered, max_general_drop).alpha
    lost = _lost(ordered)
    place = next(n for n, point in enumerate(ordered) if point.alpha == chosen)
    here, *larger = ordered[place:]
    if not larger or lost[chosen] > max_general_drop or lost[larger[0].alpha] <= max_general_drop:
        return None
    if here.dev is not None and (larger[0].dev or 0.0) <= here.dev:
        return None
    return (here.alpha + larger[0].alpha) / 2


def _lost(points: Sequence[SweepPoint]) -> dict[float, float]:
    """By alpha, how much less each has on the general set than the best of them."""
    known = [point.general for point in points if point.general is not None]
    best = max(known, default=0.0)
    return {point.alpha: 0.0 if point.general is None else best - point.general for point in points}


def interpolate(
    base: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], alpha: float
) -> dict[str, torch.Tensor]:
    """`(1 - alpha) * base + alpha * tuned` of every floating-point weight; others are the tuned model's.

    Args:
        base: State dict that the training started from.
        tuned: State dict with the same names and shapes.
        alpha: Share of the tuned weights, 0..1.

    Raises:
        InvalidInput: Names or shapes differ.
    """
    shapes = [{name: tuple(one.shape) for name, one in weights.items()} for weights in (base, tuned)]
    if shapes[0] != shapes[1]:
        odd = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
        raise InvalidInput(f"base and tuned must have the same weights, {len(odd)} differ: {odd[:3]}")
    return {
        name: torch.lerp(base[name].to(one), one, alpha) if one.is_floating_point() else one.clone()
        for name, one in tuned.items()
    }


def mixtures(alphas: Sequence[float]) -> list[float]:
    """The shares to measure between base and tuned, ascending and distinct."""
    return sorted(set(alphas))
