"""The picture of `vector-types.json`: for each Milvus, the time of a search with each type, and its recall."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import BARE, INK, OURS, PALE, PLAIN, figure_of, finish, heading
from embedloop.capabilities import in_words, server_of
from embedloop.verification import MIN_RECALL


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    servers = report["servers"]
    figure, panels = figure_of(1, len(servers), height=4.6)
    for axes, server in zip(panels[0], servers.values(), strict=True):
        _bars(axes, server)
    rows = report["settings"]["plan"]["rows"]
    title = (
        f"One search in {rows:,} vectors of {report['settings']['dimension']} dimensions: p50, line to p95; "
        f"grey: finds less than {MIN_RECALL:g}, red: proposed"
    )
    finish(figure, title, report, path)


def _bars(axes: Any, server: Mapping[str, Any]) -> None:
    """One bar a type, the fastest above; beside it what it finds and what a row takes."""
    rows = [one for one in server["types"] if "refused" not in one]
    rows.sort(key=lambda one: one["search_ms"]["p50"], reverse=True)
    for place, row in enumerate(rows):
        median, late = row["search_ms"]["p50"], row["search_ms"]["p95"]
        axes.barh(place, median, 0.55, color=_colour(row, server["proposed"]))
        axes.plot([median, late], [place, place], color=INK, linewidth=0.8)
        size = sum(row["bytes_a_row"].values())
        told = f"{median:.1f} ms, recall@10 {row['recall_at_10']:.3f}, {size:,} B a row"
        axes.annotate(
            told, (late, place), xytext=(5, 0), textcoords="offset points", fontsize=8, color=INK, va="center"
        )
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.margins(x=0.95)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("ms of a search")
    heading(axes, in_words(*server_of(server["version"])))


def _colour(row: Mapping[str, Any], proposed: str | None) -> str:
    if row["recall_at_10"] < MIN_RECALL:
        return BARE
    return PLAIN if row["name"] == proposed else OURS
