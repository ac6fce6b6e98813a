"""Pure arithmetic of the swaps: which search fell into which phase, and what each phase was like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import verdicts
from benchmarks.figures import latency, percentile, ratio
from benchmarks.swap_moves import REEMBED, Swap
from benchmarks.swap_traffic import Search

CALM, BUILDING, SWAPPING = "calm", "building", "swapping"
PHASES = (CALM, BUILDING, SWAPPING)
WINDOW_SECONDS = 1.0
# Caches fill and connections are made.
WARM_UP_SECONDS = 2.0


def phase_of(search: Search, swaps: Sequence[Swap]) -> str:
    """In which phase a search was under way.

    `swapping`: at any moment between a promote call and its answer; `building`: not that, but while a new
    version was embedded and verified; else `calm`.
    """
    if any(search.sent_at < swap.end and search.ended_at > swap.begin for swap in swaps):
        return SWAPPING
    if any(search.sent_at < swap.begin and search.ended_at > swap.build_begin for swap in swaps):
        return BUILDING
    return CALM


def latencies(searches: Sequence[Search], swaps: Sequence[Swap], since: float) -> dict[str, Any]:
    """Latency in ms of each phase, of answered searches sent after `since`; `searches` counts them."""
    by_phase: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for search in searches:
        if search.sent_at >= since and search.answer is not None:
            by_phase[phase_of(search, swaps)].append(search.latency_ms)
    return {
        phase: {"searches": len(values)} | (latency(values) if values else {})
        for phase, values in by_phase.items()
    }


def windows(searches: Sequence[Search], begin: float, end: float) -> dict[str, list[Any]]:
    """Columns: p50 and p99 in ms and errors of each second, by when a search was sent; None where none was."""
    count = max(1, int((end - begin) / WINDOW_SECONDS))
    values: list[list[float]] = [[] for _ in range(count)]
    errors = [0] * count
    for search in searches:
        number = int((search.sent_at - begin) / WINDOW_SECONDS)
        if 0 <= number < count:
            errors[number] += search.error is not None
            if search.answer is not None:
                values[number].append(search.latency_ms)
    columns: dict[str, list[Any]] = {"at": [round((n + 0.5) * WINDOW_SECONDS, 2) for n in range(count)]}
    for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99)):
        columns[name] = [round(percentile(one, share), 1) if one else None for one in values]
    return columns | {"searches": [len(one) for one in values], "errors": errors}


def swaps_of(swaps: Sequence[Swap], dimensions: Mapping[str, int], since: float) -> list[dict[str, Any]]:
    """The swaps as rows of the report, with times in seconds after `since`."""
    return [
        {
            "kind": swap.kind,
            "dimensions": [dimensions[swap.source], dimensions[swap.target]],
            "models": [swap.source, swap.target],
            "build_begin": round(swap.build_begin - since, 2),
            "begin": round(swap.begin - since, 2),
            "end": round(swap.end - since, 2),
            "seconds": round(swap.end - swap.begin, 3),
        }
        | ({"spans": {name: round(one, 2) for name, one in swap.spans.items()}} if swap.spans else {})
        for swap in swaps
    ]


def counted(swaps: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many swaps there were of each kind, and how many between equal and between different dimensions.

    >>> counted([{"kind": "rollback", "dimensions": [32, 48]}])
    {'all': 1, 're-embed': 0, 'promote': 0, 'rollback': 1, 'equal_dimension': 0, 'different_dimension': 1}
    """
    kinds = Counter(str(swap["kind"]) for swap in swaps)
    equal = sum(swap["dimensions"][0] == swap["dimensions"][1] for swap in swaps)
    named = {kind: kinds[kind] for kind in (REEMBED, "promote", "rollback")}
    return {"all": len(swaps)} | named | {"equal_dimension": equal, "different_dimension": len(swaps) - equal}


def spread(seconds: Sequence[float]) -> dict[str, float | None]:
    """Median, least and most; None where there are no values."""
    if not seconds:
        return {"median": None, "least": None, "most": None}
    return {
        "median": round(percentile(seconds, 0.5), 3),
        "least": round(min(seconds), 3),
        "most": round(max(seconds), 3),
    }


def judged(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What must be nought, and what a swap costs in latency."""
    told: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        found = part["oracle"]
        wrong = found["mixed"] + found["misnamed"] + found["empty"]
        told[f"{name}_mixed_answers"] = verdicts.judged(wrong, at_most=0)
        told[f"{name}_errors"] = verdicts.judged(sum(part["errors"].values()), at_most=0)
        told[f"{name}_wrong_documents"] = verdicts.judged(sum(part["wrong"].values()), at_most=0)
        calm, during = part["latency_ms"][CALM], part["latency_ms"][SWAPPING]
        for share in ("p50", "p99"):
            if share in calm and share in during:
                value = ratio(during[share], calm[share])
                told[f"{name}_{share}_swapping_to_calm"] = verdicts.judged(value)
    return told
