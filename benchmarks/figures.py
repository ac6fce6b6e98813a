"""Pure arithmetic of the measurements."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

from embedloop.errors import InvalidInput


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated between the two nearest.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 0.5)
    25.0

    Raises:
        InvalidInput: There are no values, or the share is not 0..1.
    """
    if not values:
        raise InvalidInput("a percentile needs at least one value, got 0")
    if not 0.0 <= share <= 1.0:
        raise InvalidInput(f"share must be 0..1, got {share}", field="share")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    lower = int(place)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (place - lower) * (ordered[upper] - ordered[lower])


def latency(values_ms: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99, mean and max of latencies in ms."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    named = {name: round(percentile(values_ms, share), 3) for name, share in shares.items()}
    return named | {"mean": round(fmean(values_ms), 3)}


def poisson_schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrival times of a Poisson process: exponential gaps (Kingman 1993), independent of any answer.

    Args:
        rate: Arrivals a second.
        seconds: Length of the schedule.
        seed: The same seed gives the same schedule.

    Returns:
        Ascending times in seconds, each in 0..`seconds`.

    Raises:
        InvalidInput: The rate or the length is not positive.
    """
    if rate <= 0 or seconds <= 0:
        raise InvalidInput(f"rate and seconds must be positive, got {rate} and {seconds}")
    generator = random.Random(seed)
    times = []
    at = generator.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += generator.expovariate(rate)
    return times


def ratio(ours: float, bare: float) -> float:
    """How much of `bare` ours is, rounded for a report.

    Raises:
        InvalidInput: `bare` is not positive, so nothing was measured.
    """
    if bare <= 0:
        raise InvalidInput(f"the bare figure must be positive, got {bare}")
    return round(ours / bare, 3)
