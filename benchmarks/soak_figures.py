"""Pure arithmetic of the soak: windows of figures, growth, drift of latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Any

from benchmarks import verdicts
from benchmarks.figures import percentile
from embedloop.errors import InvalidInput

LEAST_POINTS = 10
# After the begin, and after the cycle's end: caches fill, pools grow, a process gives back what it borrowed.
SETTLE_SECONDS = 60.0

Columns = dict[str, Any]


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes between all pairs of points (Sen 1968): a few outliers do not move it.

    >>> theil_sen([0, 1, 2, 3], [1.0, 3.0, 50.0, 7.0])
    2.0

    Raises:
        InvalidInput: There are fewer than two points, or not as many values as times.
    """
    if len(times) != len(values) or len(times) < 2:
        raise InvalidInput(f"a slope needs at least two points, got {len(times)} times, {len(values)} values")
    points = zip(times, values, strict=True)
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    if not slopes:
        raise InvalidInput("a slope needs points at different times, all are at one")
    return float(median(slopes))


def empty_windows() -> Columns:
    """No window yet."""
    return {
        "at": [],
        "searches": [],
        "p50_ms": [],
        "p99_ms": [],
        "errors": [],
        "lag": [],
        "queued": [],
        "mib": {},
    }


def add_window(
    windows: Columns,
    *,
    at: float,
    latencies_ms: Sequence[float],
    errors: int,
    lag: int | None,
    queued: int | None,
    mib: Mapping[str, float],
) -> None:
    """Appends one window to the columns; what could not be read is None."""
    known = len(windows["at"])
    values = {
        "at": round(at, 1),
        "searches": len(latencies_ms),
        "p50_ms": round(percentile(latencies_ms, 0.5), 1) if latencies_ms else None,
        "p99_ms": round(percentile(latencies_ms, 0.99), 1) if latencies_ms else None,
        "errors": errors,
        "lag": lag,
        "queued": queued,
    }
    for name, value in values.items():
        windows[name].append(value)
    for name in {*windows["mib"], *mib}:
        windows["mib"].setdefault(name, [None] * known).append(mib.get(name))


def growth_per_hour(windows: Columns, since: float) -> dict[str, float | None]:
    """MiB an hour of each process from a time on; None where there are too few looks to say."""
    grown: dict[str, float | None] = {}
    for name, column in windows["mib"].items():
        points = [
            (at, mib) for at, mib in zip(windows["at"], column, strict=True) if at >= since and mib is not None
        ]
        enough = len(points) >= LEAST_POINTS
        grown[name] = round(3600 * theil_sen(*zip(*points, strict=True)), 2) if enough else None
    return grown


def thirds(windows: Columns) -> dict[str, float | None]:
    """Median of the windows' p50 in the first and in the last third of the time."""
    last = windows["at"][-1] if windows["at"] else 0.0

    def middle(begin: float, end: float) -> float | None:
        found = [
            p50
            for at, p50 in zip(windows["at"], windows["p50_ms"], strict=True)
            if begin <= at <= end and p50 is not None
        ]
        return round(median(found), 1) if found else None

    return {"first_p50_ms": middle(0.0, last / 3), "last_p50_ms": middle(2 * last / 3, last)}


def settled_from(cycle: Mapping[str, Any] | None) -> float | None:
    """From when on growth is looked at: warm, and after the cycle; None while it goes on."""
    if cycle is None:
        return SETTLE_SECONDS
    return None if cycle["ended_at"] is None else cycle["ended_at"] + SETTLE_SECONDS


def summary(
    windows: Columns, cycle: Mapping[str, Any] | None, errors: Counter[str], wrong: Counter[str]
) -> dict[str, Any]:
    """What the soak shows."""
    since = settled_from(cycle)
    return {
        "searches": sum(windows["searches"]),
        "latency_thirds": thirds(windows),
        "growth_mib_per_hour": growth_per_hour(windows, since) if since is not None else {},
        "growth_since_seconds": since,
        "errors": dict(errors),
        "wrong_answers": dict(wrong),
        "verdicts": {
            "wrong_answers": verdicts.judged(wrong.total(), at_most=0),
            "errors": verdicts.judged(errors.total(), at_most=0),
        },
    }
