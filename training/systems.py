"""Several systems on the same judged queries, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from embedloop.errors import InvalidInput
from training.evaluation import Scores, paired_difference
from training.slices import Slices


def compare_systems(
    systems: Mapping[str, Scores], asked: str, confidence: float = 0.95
) -> dict[str, dict[str, Any]]:
    """Metrics of every system, and what `asked` gains over each other one.

    Args:
        systems: Name -> scores on the same queries.
        asked: The system that the others are the baselines of.
        confidence: Of the intervals.

    Returns:
        Name -> `metrics` (means), and for the baselines `uplift`: metric -> mean, low and high of `asked` minus
        this one, and p; JSON-ready.

    Raises:
        InvalidInput: `asked` is not among the systems, or they were scored on different queries.
    """
    if asked not in systems:
        raise InvalidInput(f"there is no system {asked!r} among {sorted(systems)}")
    table: dict[str, dict[str, Any]] = {}
    for name, scores in systems.items():
        table[name] = {"metrics": dict(scores.mean)}
        if name != asked:
            table[name]["uplift"] = {
                metric: asdict(
                    paired_difference(values, systems[asked].per_query[metric], confidence=confidence)
                )
                for metric, values in scores.per_query.items()
            }
    return table


def slice_table(systems: Mapping[str, Scores], metric: str, slices: Slices) -> list[dict[str, Any]]:
    """One row per slice: facet, value, number of queries, and the mean of `metric` by system."""
    rows: list[dict[str, Any]] = []
    for facet, values in sorted(slices.items()):
        for value, members in sorted(values.items()):
            scored = [query for query in next(iter(systems.values())).queries if query in members]
            if scored:
                means = {name: _mean(scores, metric, scored) for name, scores in systems.items()}
                rows.append({"facet": facet, "value": value, "queries": len(scored), metric: means})
    return rows


def _mean(scores: Scores, metric: str, queries: list[str]) -> float:
    return float(np.mean([scores.per_query[metric][query] for query in queries]))
