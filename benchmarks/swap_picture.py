"""The picture of `swap.json`: latency over time with the swaps, and p99 beside p99."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import (
    OURS,
    PALE,
    PLAIN,
    figure_of,
    finish,
    gaps,
    heading,
    milvus_of,
    verdict_table,
    wide,
)

SHADES = {"calm": "#9aa5b1", "building": "#6ba3b8", "swapping": "#1f6f8b"}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    measured = report["under_load"]
    figure, panels = figure_of(len(measured) + 1, 2, height=4.0 * (len(measured) + 1))
    for row, (name, part) in enumerate(measured.items()):
        _over_time(wide(figure, panels, row), name, part, report["settings"]["plan"])
    _beside(panels[-1, 0], measured)
    verdict_table(panels[-1, 1], report["verdicts"])
    swaps = sum(part["swaps"]["all"] for part in measured.values())
    checked = sum(part["oracle"]["checked"] for part in measured.values())
    title = f"{swaps} swaps under load, {checked:,} answers checked; {milvus_of(report)}, 2 replicas"
    finish(figure, f"{title}, {report['settings']['parts']} parts", report, path)


def _over_time(axes: Any, name: str, part: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    found = part["windows"]
    for number, swap in enumerate(part["each_swap"]):
        first = number == 0
        if swap["build_begin"] < swap["begin"]:
            label = "re-embedding" if first else None
            axes.axvspan(swap["build_begin"], swap["begin"], color=PALE, zorder=0, label=label)
        axes.axvspan(
            swap["begin"],
            swap["end"],
            color=PLAIN,
            alpha=0.45,
            zorder=1,
            linewidth=0,
            label="swap" if first else None,
        )
    axes.plot(found["at"], gaps(found["p99_ms"]), color="#8fbccb", linewidth=1, label="p99")
    axes.plot(found["at"], gaps(found["p50_ms"]), color=OURS, linewidth=1.4, label="p50")
    axes.set_yscale("log")
    axes.set_ylabel("ms (log)")
    axes.set_xlabel("seconds")
    axes.set_xlim(0, part["seconds"])
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left")
    dimensions = ", ".join(str(one) for one in part["models"].values()) + " dimensions"
    writes = f"{part['writes']['a_second']:g} writes/s"
    heading(axes, f"Latency of each second: {name} models ({dimensions}), {plan['clients']} clients, {writes}")


def _beside(axes: Any, measured: Mapping[str, Any]) -> None:
    groups = [(name, share) for name in measured for share in ("p50", "p99")]
    for number, (phase, colour) in enumerate(SHADES.items()):
        places = [place + (number - 1) * 0.27 for place in range(len(groups))]
        values = [measured[name]["latency_ms"][phase].get(share, 0.0) for name, share in groups]
        shown = axes.bar(places, values, 0.27, color=colour, label=phase)
        axes.bar_label(shown, [f"{value:.0f}" for value in values], fontsize=8, padding=1)
    axes.set_xticks(range(len(groups)), [f"{name}, {share}" for name, share in groups])
    axes.set_ylabel("ms")
    axes.margins(y=0.18)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    heading(axes, "Latency without and during swaps, and while a version is built")
