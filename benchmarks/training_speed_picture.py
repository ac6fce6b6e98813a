"""The picture of `training-speed.json`: speed and what it brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import BARE, OURS, PALE, bars, figure_of, finish, heading


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    figure, panels = figure_of(1, 3, height=4.2)
    names = {"bare": "bare trainer", "ours": "Embedloop"}
    shades = {"bare": BARE, "ours": OURS}
    for axes, figure_name, title, unit in (
        (panels[0, 0], "pairs_per_second", "Training loop", "pairs/s"),
        (panels[0, 1], "cpu_ms_per_pair", "CPU time of the whole process", "ms a pair"),
    ):
        drawn = [(names[kind], report[kind][figure_name], shades[kind]) for kind in names]
        bars(axes, drawn, unit=unit, form="{:.3g}")
        heading(axes, title)
    scores = [("base model", report["base_ndcg@10"], PALE)]
    scores += [(names[kind], report[kind]["ndcg@10"], shades[kind]) for kind in names]
    bars(panels[0, 2], scores, unit="nDCG@10", form="{:.3f}")
    heading(panels[0, 2], "Held-out queries")
    title = f"Training: {report['pairs']:,} pairs, {report['settings']['base_model']}"
    finish(figure, title, report, path)
