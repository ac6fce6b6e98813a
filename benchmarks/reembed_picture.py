"""The picture of `reembed.json`: speed, searches meanwhile, memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import (
    BARE,
    OURS,
    PALE,
    PLAIN,
    bars,
    figure_of,
    finish,
    heading,
    milvus_of,
    verdict_table,
    wide,
)

SHADES = {"p50": "#1f6f8b", "p95": "#6ba3b8", "p99": "#b9d3dd"}
PHASES = {"idle": PALE, "ingest": "#6ba3b8", "re-embed": "#1f6f8b", "re-embed with searches": "#133c55"}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    figure, panels = figure_of(3, 2, height=11.0)
    _speed(panels[0, 0], report)
    _ingest(panels[0, 1], report)
    _searches(panels[1, 0], report)
    verdict_table(panels[1, 1], report["ratios"])
    _memory(wide(figure, panels, 2), report)
    settings = report["settings"]
    title = f"Re-embed: {settings['terms']:,} documents, {settings['base_model']}, {milvus_of(report)}"
    finish(figure, title, report, path)


def _speed(axes: Any, report: Mapping[str, Any]) -> None:
    quiet, loaded = report["quiet"], report["with_searches"]
    rate = report["settings"]["plan"]["rate"]
    drawn = [
        ("bare encoder", report["bare"]["documents_per_second"], BARE),
        ("stage embed", quiet["documents_per_second"]["embed"], OURS),
        ("whole job", quiet["documents_per_second"]["job"], OURS),
        (f"whole job, {rate:g}\nsearches/s", loaded["documents_per_second"]["job"], OURS),
    ]
    bars(axes, drawn, unit="documents/s", form="{:.3g}")
    heading(axes, "Re-embedding")


def _ingest(axes: Any, report: Mapping[str, Any]) -> None:
    drawn = [
        ("Embedloop,\nuntil found", report["ingest"]["documents_per_second"], OURS),
        ("plain service,\nadd_texts", report["plain_ingest"]["documents_per_second"], PLAIN),
    ]
    bars(axes, drawn, unit="documents/s", form="{:.3g}")
    heading(axes, "Ingest, embedding included")


def _searches(axes: Any, report: Mapping[str, Any]) -> None:
    searches = report["with_searches"]["searches"]
    moments = [name for name in ("before", "during") if searches[name]["latency_ms"]]
    for number, (name, colour) in enumerate(SHADES.items()):
        places = [place + (number - 1) * 0.26 for place in range(len(moments))]
        values = [searches[moment]["latency_ms"][name] for moment in moments]
        shown = axes.bar(places, values, 0.26, color=colour, label=name)
        axes.bar_label(shown, [f"{value:.0f}" for value in values], fontsize=9, padding=1)
    axes.set_xticks(range(len(moments)), [f"{name} the job" for name in moments])
    axes.set_ylabel("ms")
    axes.margins(y=0.15)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    heading(axes, f"Latency of searches, {searches['before']['rate']:g}/s")


def _memory(axes: Any, report: Mapping[str, Any]) -> None:
    phases = report["memory"]
    names = sorted(
        {name for phase in phases for name in phase["mib"]}, key=lambda n: -phases[-1]["mib"].get(n, 0)
    )
    width = 0.84 / len(phases)
    for number, phase in enumerate(phases):
        places = [place + (number - (len(phases) - 1) / 2) * width for place in range(len(names))]
        values = [phase["mib"].get(name, 0.0) for name in names]
        peaks = [phase["peak_mib"].get(name, 0.0) for name in names]
        label = f"{phase['documents']:,} documents: {phase['phase']}"
        # Shades of one colour tell the phases, darker edges the larger corpus.
        edge = "#333333" if phase["documents"] == phases[-1]["documents"] else "none"
        axes.bar(places, values, width * 0.9, color=PHASES[phase["phase"]], edgecolor=edge, label=label)
        axes.plot(places, peaks, "_", color="#c8553d", markersize=8, label="peak" if number == 0 else None)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("MiB resident")
    axes.margins(y=0.2)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    heading(axes, "Memory after each phase, children included")
