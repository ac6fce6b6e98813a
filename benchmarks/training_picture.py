"""The picture of `training.json`: every system on every set with its interval, and what was forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import BARE, INK, OURS, PLAIN, figure_of, finish, heading
from benchmarks.training_scores import SYSTEMS

NAMES = {"bm25": "BM25", "base": "base model", "plain": "plain recipe", "ours": "Embedloop"}
SHADES = {"bm25": BARE, "base": INK, "plain": PLAIN, "ours": OURS}
METRICS = {"ndcg@10": "nDCG@10", "hit@5": "hit@5", "precision@5": "precision@5"}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    sets = report["sets"]
    figure, panels = figure_of(1, 5, height=2.2 + 0.75 * len(sets))
    for axes, (metric, title) in zip(panels[0], METRICS.items(), strict=False):
        found = {
            name: {system: one["test"]["systems"][system][metric] for system in SYSTEMS}
            for name, one in sets.items()
        }
        _dots(axes, found)
        heading(axes, title)
    titles = {"general": "nDCG@10 gained, general", "elsewhere": "nDCG@10 gained, elsewhere"}
    for axes, (where, title) in zip(panels[0, 3:], titles.items(), strict=True):
        _changes(axes, {name: one[where] for name, one in sets.items()})
        heading(axes, title)
    for axes in panels[0, 1:]:
        axes.set_yticklabels([])
    panels[0, 3].axvline(-0.01, color=INK, linewidth=0.8, linestyle=":")
    marks, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(marks, names, fontsize=8, loc="outside lower left", ncols=4, frameon=False)
    base = report["settings"]["base_model"]
    finish(figure, f"Training on {len(sets)} data sets: {base}, test queries, 95% intervals", report, path)


def _dots(axes: Any, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """One row a set; in it one dot a system, the first above."""
    for row, by_system in enumerate(found.values()):
        for place, (system, one) in enumerate(by_system.items()):
            y = row + 0.17 * (place - (len(by_system) - 1) / 2)
            reach = [[one["mean"] - one["low"]], [one["high"] - one["mean"]]]
            label = NAMES[system] if row == 0 else None
            axes.errorbar(
                one["mean"],
                y,
                xerr=reach,
                fmt="o",
                markersize=4,
                linewidth=1.2,
                color=SHADES[system],
                label=label,
            )
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _changes(axes: Any, sets: Mapping[str, Any]) -> None:
    """What each recipe changed against the base model."""
    _dots(axes, {name: {one: told[one]["change"] for one in ("plain", "ours")} for name, told in sets.items()})
    axes.axvline(0.0, color=INK, linewidth=0.8)
