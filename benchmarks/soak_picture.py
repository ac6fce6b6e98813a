"""The picture of `soak.json`: latency and memory over time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import INK, OURS, PALE, PLAIN, figure_of, finish, gaps, heading


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    figure, panels = figure_of(3, 1, height=10.5)
    windows, cycle = report["windows"], report.get("cycle")
    minutes = [at / 60 for at in windows["at"]]
    _latency(panels[0, 0], minutes, windows)
    _work(panels[1, 0], minutes, windows)
    _memory(panels[2, 0], minutes, windows, report["summary"])
    for axes in panels.flat:
        axes.set_xlim(0, max(minutes, default=1))
        _shade(axes, cycle, minutes)
    panels[2, 0].set_xlabel("minutes")
    plan, summary = report["settings"]["plan"], report["summary"]
    errors, wrong = sum(summary["errors"].values()), sum(summary["wrong_answers"].values())
    rates = f"{plan['searches']:g} searches/s, {plan['writes']:g} writes/s, {plan['feedback']:g} signals/s"
    finish(figure, f"Soak: {rates}; {errors} errors, {wrong} wrong answers", report, path)


def _latency(axes: Any, minutes: list[float], windows: Mapping[str, Any]) -> None:
    axes.plot(minutes, gaps(windows["p99_ms"]), color="#8fbccb", linewidth=1, label="p99")
    axes.plot(minutes, gaps(windows["p50_ms"]), color=OURS, linewidth=1.4, label="p50")
    axes.set_yscale("log")
    axes.set_ylabel("ms (log)")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    heading(axes, "Search latency of each window; shaded: the cycle")


def _work(axes: Any, minutes: list[float], windows: Mapping[str, Any]) -> None:
    axes.plot(minutes, gaps(windows["lag"]), color=OURS, linewidth=1.2, label="changes not applied yet")
    axes.plot(minutes, gaps(windows["queued"]), color=INK, linewidth=1.2, label="tasks queued")
    axes.plot(minutes, gaps(windows["errors"]), color=PLAIN, linewidth=1.2, label="errors")
    axes.set_ylabel("count")
    axes.set_ylim(0, None)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    heading(axes, "Lag, queue and errors of each window")


def _memory(axes: Any, minutes: list[float], windows: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    growth = summary["growth_mib_per_hour"]
    for name, column in sorted(windows["mib"].items()):
        slope = growth.get(name)
        label = name if slope is None else f"{name} ({slope:+.1f} MiB/h)"
        axes.plot(minutes, gaps(column), linewidth=1.3, label=label)
    axes.set_ylabel("MiB resident")
    axes.set_ylim(0, None)
    axes.margins(y=0.2)
    axes.legend(frameon=False, fontsize=8, ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5))
    heading(axes, "Memory, children included; growth after the cycle")


def _shade(axes: Any, cycle: Mapping[str, Any] | None, minutes: list[float]) -> None:
    if cycle is not None and minutes:
        end = cycle["ended_at"] / 60 if cycle["ended_at"] is not None else minutes[-1]
        axes.axvspan(cycle["began_at"] / 60, end, color=PALE, zorder=0)
