"""What labels bring, measured on fractions of them and extrapolated with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from training.evaluation import Interval

FRACTIONS = (0.125, 0.25, 0.5, 1.0)
REPEATS = 3
MIN_LABELS = 8
CONFIDENCE = 0.9
_RESAMPLES = 500
_HALVES = np.geomspace(1, 1e6, 121)

Gains = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The gain of one small fit over the baseline: mean over the held-out queries."""

    labels: int
    uplift: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Points, and the curve `ceiling * n / (n + half)` through them.

    Attributes:
        points: What was measured.
        ceiling: Gain of unlimited labels, never above what the oracle leaves.
        half: Labels that bring half of it.
        expected: Labels -> extrapolated gain with its 90% interval over held-out queries.
    """

    points: tuple[CurvePoint, ...]
    ceiling: float
    half: float
    expected: dict[int, Interval]

    def to_json(self) -> dict[str, Any]:
        told = asdict(self)
        told["expected"] = [{"labels": n, **asdict(one)} for n, one in self.expected.items()]
        return told


def measure_curve(
    labels: int,
    gains_of: Callable[[NDArray[np.int64], int], Gains],
    *,
    at: Sequence[int],
    most: float,
    seed: int = 13,
) -> LearningCurve | None:
    """Fits on fractions of the labels, several times each, and extrapolates.

    A saturating hyperbola has two parameters, is zero without labels and bounded, which few noisy points bear;
    a power law is neither (Viering & Loog 2023, "The shape of learning curves").

    Args:
        labels: How many there are to choose from.
        gains_of: Rows to learn from and a seed in; the gain of each held-out query out, always in one order.
        at: Numbers of labels to extrapolate to.
        most: The greatest gain that can be.
        seed: The same seed gives the same curve.

    Returns:
        None when there are too few labels for two points.

    Raises:
        InvalidInput: There is no held-out query.
    """
    sizes = sorted({n for f in FRACTIONS if (n := round(f * labels)) >= MIN_LABELS})
    if len(sizes) < 2:
        return None
    generator = np.random.default_rng(seed)
    counts: list[int] = []
    rows: list[Gains] = []
    for size in sizes:
        for repeat in range(1 if size == labels else REPEATS):
            chosen = np.sort(generator.choice(labels, size=size, replace=False))
            counts.append(size)
            rows.append(gains_of(chosen, seed + repeat))
    gains = np.stack(rows)
    if not gains.shape[1]:
        raise InvalidInput("a learning curve needs a held-out query, got 0")
    x = np.array(counts, dtype=np.float64)
    ceiling, half = fit(x, gains.mean(axis=1), most)
    points = tuple(CurvePoint(n, float(row.mean())) for n, row in zip(counts, gains, strict=True))
    return LearningCurve(points, ceiling, half, _expected(x, gains, at, most, generator))


def fit(labels: NDArray[np.float64], uplift: NDArray[np.float64], most: float) -> tuple[float, float]:
    """Least squares of `ceiling * n / (n + half)`, with the ceiling within 0..most.

    >>> n = np.array([10.0, 20.0, 40.0, 80.0])
    >>> ceiling, half = fit(n, 0.2 * n / (n + 31.6), most=0.5)
    >>> round(ceiling, 2), round(half)
    (0.2, 32)
    >>> fit(n, -n / 100, most=0.5)[0]
    0.0
    """
    shapes = labels[None, :] / (labels[None, :] + _HALVES[:, None])
    ceilings = np.clip((shapes @ uplift) / (shapes**2).sum(axis=1), 0.0, max(0.0, most))
    errors = ((ceilings[:, None] * shapes - uplift) ** 2).sum(axis=1)
    best = int(np.argmin(errors))
    return float(ceilings[best]), float(_HALVES[best])


def _expected(
    x: NDArray[np.float64], gains: Gains, at: Sequence[int], most: float, generator: np.random.Generator
) -> dict[int, Interval]:
    """Bootstrap over held-out queries: every resample is fitted and extrapolated anew."""
    ceiling, half = fit(x, gains.mean(axis=1), most)
    queries = gains.shape[1]
    fits = [
        fit(x, gains[:, generator.integers(0, queries, size=queries)].mean(axis=1), most)
        for _ in range(_RESAMPLES)
    ]
    tail = (1 - CONFIDENCE) / 2
    found: dict[int, Interval] = {}
    for n in at:
        low, high = np.quantile([c * n / (n + h) for c, h in fits], [tail, 1 - tail])
        found[n] = Interval(ceiling * n / (n + half), float(low), float(high))
    return found
