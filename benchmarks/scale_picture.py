"""The picture of `scale.json`: speed beside bare insertion, memory over time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import (
    BARE,
    INK,
    OURS,
    PALE,
    bars,
    figure_of,
    finish,
    gaps,
    heading,
    milvus_of,
    verdict_table,
    wide,
)

# Servers that hold the data: theirs grows with it, and it would hide the lines of ours.
SERVERS = ("milvus", "postgres", "valkey", "train")


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    figure, panels = figure_of(2, 2, height=9.5)
    _speed(panels[0, 0], report)
    verdict_table(panels[0, 1], report["ratios"])
    _memory(wide(figure, panels, 1), report)
    settings = report["settings"]
    title = f"Re-embedding {settings['plan']['documents']:,} rows of {settings['dimension']} dimensions, "
    finish(figure, f"{title}{milvus_of(report)}, {settings['parts']} parts", report, path)


def _speed(axes: Any, report: Mapping[str, Any]) -> None:
    most = report["settings"]["plan"]["documents"]
    jobs = [job for job in report["reembed"] if job["documents"] == most]
    drawn = [("bare\ninsertion", report["bare"]["rows_per_second"], BARE)]
    for span, name in (("embed", "stage embed"), ("job", "whole job")):
        for job in jobs:
            label = f"{name},\n{job['workers']} worker{'s' * (job['workers'] > 1)}"
            drawn.append((label, job["documents_per_second"][span], OURS))
    bars(axes, drawn, unit="rows/s", form="{:,.0f}")
    heading(axes, "Rows a second")


def _memory(axes: Any, report: Mapping[str, Any]) -> None:
    memory = report["memory"]
    for name, column in memory["mib"].items():
        if name not in SERVERS:
            axes.plot(memory["at"], gaps(column), linewidth=1.4, label=name)
    for number, phase in enumerate(report["phases"]):
        if number % 2 == 0:
            axes.axvspan(phase["from"], phase["until"], color=PALE, alpha=0.6, zorder=0)
        label = f"{phase['phase']}\n{phase['documents']:,}"
        place = ((phase["from"] + phase["until"]) / 2, 0.99)
        where = axes.get_xaxis_transform()
        axes.text(*place, label, transform=where, ha="center", va="top", fontsize=7, color=INK)
    axes.set_xlim(0, report["phases"][-1]["until"])
    # Room for the names of the phases.
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.set_xlabel("seconds")
    axes.set_ylabel("MiB resident")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    heading(axes, "Memory of our processes, children included; below each phase: documents")
