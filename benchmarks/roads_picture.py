"""The picture of `roads.json`: quality against cost, one point a road, one row of panels a set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from benchmarks.picture import BARE, INK, OURS, PLAIN, figure_of, finish, heading

COSTS = {
    "training_cpu_seconds": "CPU seconds of training",
    "passage_cpu_ms": "CPU ms to encode a passage",
    "query_ms": "ms to encode or answer a query",
}
# A cost that is nothing has no place on a logarithmic axis.
FLOOR = {"training_cpu_seconds": 1.0, "passage_cpu_ms": 0.01, "query_ms": 0.01}
# Pixels from a point to its number, and what a number takes, across and up.
NEAR, ROOM = 14.0, (17.0, 14.0)
MARKED = {"base": INK, "bm25": BARE, "finetune": PLAIN}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    sets = report["sets"]
    figure, panels = figure_of(len(sets), len(COSTS) + 1, height=1.2 + 4.2 * len(sets))
    drawn = []
    for row, (name, one) in enumerate(sets.items()):
        for column, (cost, label) in enumerate(COSTS.items()):
            axes = panels[row, column]
            drawn.append((axes, _points(axes, one["roads"], cost)))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(label, fontsize=9)
            heading(axes, f"{name}: nDCG@10" if column == 0 else "")
        _key(panels[row, len(COSTS)], one["roads"])
    # The layout moves the panels: only then is it known what lies how near.
    figure.draw_without_rendering()
    for axes, places in drawn:
        _number(axes, places)
    base = report["settings"]["base_model"]
    finish(figure, f"Roads from {base}: quality against cost, test queries, 95% intervals", report, path)


def _points(axes: Any, roads: Mapping[str, Mapping[str, Any]], cost: str) -> dict[str, tuple[float, float]]:
    """Draws them; returns the place of each number."""
    places: dict[str, tuple[float, float]] = {}
    for number, (name, road) in enumerate(roads.items(), start=1):
        spent = road["cost"].get(cost)
        if spent is None:
            continue
        found = road["metrics"]["ndcg@10"]
        at = max(spent, FLOOR[cost])
        reach = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
        colour = MARKED.get(name, OURS)
        axes.errorbar(at, found["mean"], yerr=reach, fmt="o", markersize=4, linewidth=0.6, color=colour)
        places[str(number)] = (at, found["mean"])
    axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.grid(color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
    return places


def _number(axes: Any, places: Mapping[str, tuple[float, float]]) -> None:
    """Writes each point's number beside it, with a line where others stand nearer."""
    points = axes.transData.transform(list(places.values()))
    for (text, place), offset in zip(places.items(), offsets(points), strict=True):
        far = np.hypot(*offset) > NEAR * 1.5
        axes.annotate(
            text,
            place,
            xytext=tuple(offset),
            textcoords="offset pixels",
            ha="center",
            va="center",
            fontsize=7,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": BARE, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 1}
            if far
            else None,
        )


def offsets(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Where to write beside each of (n, 2) points in pixels: near it, and free of points and of other writing.

    >>> first, second = offsets(np.array([[0.0, 0.0], [1.0, 0.0]]))
    >>> bool(np.hypot(*(first - second - [1.0, 0.0])) > 10)
    True
    """
    # Not above or below, where the intervals are.
    angles = np.array([0, 1, 0.2, 0.8, -0.2, -0.8, 0.35, 0.65, -0.35, -0.65]) * np.pi
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    taken, found = points, []
    for point in points:
        tried = [radius * turn for radius in np.arange(1, 12) * NEAR for turn in turns]
        free = [one for one in tried if not (abs(taken - point - one) < ROOM).all(axis=1).any()]
        found.append(free[0] if free else tried[0])
        taken = np.vstack([taken, point + found[-1]])
    return found


def _key(axes: Any, roads: Mapping[str, Mapping[str, Any]]) -> None:
    """Which number is which road."""
    axes.set_axis_off()
    lines = [f"{number}  {road['title']}" for number, road in enumerate(roads.values(), start=1)]
    axes.text(0.0, 1.0, "\n".join(lines), fontsize=8, color=INK, va="top", transform=axes.transAxes)
