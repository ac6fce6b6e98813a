"""The picture of `roads.json`: quality against cost, one point a road, one row of panels a set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import BARE, INK, OURS, PLAIN, figure_of, finish, heading

COSTS = {
    "training_cpu_seconds": "CPU seconds of training",
    "passage_cpu_ms": "CPU ms to encode a passage",
    "query_ms": "ms to encode or answer a query",
}
# A cost that is nothing has no place on a logarithmic axis.
FLOOR = {"training_cpu_seconds": 1.0, "passage_cpu_ms": 0.01, "query_ms": 0.01}
MARKED = {"base": INK, "bm25": BARE, "finetune": PLAIN}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    sets = report["sets"]
    figure, panels = figure_of(len(sets), len(COSTS), height=1.2 + 4.2 * len(sets))
    for row, (name, one) in enumerate(sets.items()):
        for column, (cost, label) in enumerate(COSTS.items()):
            axes = panels[row, column]
            _points(axes, one["roads"], cost)
            axes.set_xscale("log")
            axes.set_xlabel(label, fontsize=9)
            heading(axes, f"{name}: nDCG@10" if column == 0 else "")
    base = report["settings"]["base_model"]
    finish(figure, f"Roads from {base}: quality against cost, test queries, 95% intervals", report, path)


def _points(axes: Any, roads: Mapping[str, Mapping[str, Any]], cost: str) -> None:
    number = 0
    for name, road in roads.items():
        spent = road["cost"].get(cost)
        if spent is None:
            continue
        number += 1
        found = road["metrics"]["ndcg@10"]
        at = max(spent, FLOOR[cost])
        reach = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
        colour = MARKED.get(name, OURS)
        axes.errorbar(at, found["mean"], yerr=reach, fmt="o", markersize=4, linewidth=0.6, color=colour)
        # Above and below in turn: neighbours are often alike.
        axes.annotate(
            road["title"],
            (at, found["mean"]),
            xytext=(5, 4 if number % 2 else -9),
            textcoords="offset points",
            fontsize=7,
            color=INK,
        )
    axes.margins(x=0.2)
    axes.grid(color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
