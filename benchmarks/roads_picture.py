"""The picture of `roads.json`: quality against cost, one point a road, one row of panels a set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.ticker import NullFormatter

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
    figure, panels = figure_of(len(sets), len(COSTS) + 1, height=1.2 + 4.2 * len(sets))
    for row, (name, one) in enumerate(sets.items()):
        for column, (cost, label) in enumerate(COSTS.items()):
            axes = panels[row, column]
            _points(axes, one["roads"], cost)
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(label, fontsize=9)
            heading(axes, f"{name}: nDCG@10" if column == 0 else "")
        _key(panels[row, len(COSTS)], one["roads"])
    base = report["settings"]["base_model"]
    finish(figure, f"Roads from {base}: quality against cost, test queries, 95% intervals", report, path)


def _points(axes: Any, roads: Mapping[str, Mapping[str, Any]], cost: str) -> None:
    for number, (name, road) in enumerate(roads.items(), start=1):
        spent = road["cost"].get(cost)
        if spent is None:
            continue
        found = road["metrics"]["ndcg@10"]
        at = max(spent, FLOOR[cost])
        reach = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
        colour = MARKED.get(name, OURS)
        axes.errorbar(at, found["mean"], yerr=reach, fmt="o", markersize=4, linewidth=0.6, color=colour)
        # To the right and to the left in turn: neighbours are often alike.
        side = (4, "left") if number % 2 else (-4, "right")
        axes.annotate(
            str(number),
            (at, found["mean"]),
            xytext=(side[0], 2),
            ha=side[1],
            textcoords="offset points",
            fontsize=7,
            color=INK,
        )
    axes.margins(x=0.1)
    axes.grid(color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _key(axes: Any, roads: Mapping[str, Mapping[str, Any]]) -> None:
    """Which number is which road."""
    axes.set_axis_off()
    lines = [f"{number}  {road['title']}" for number, road in enumerate(roads.values(), start=1)]
    axes.text(0.0, 1.0, "\n".join(lines), fontsize=8, color=INK, va="top", transform=axes.transAxes)
