"""The picture of `vector-types.json`: for each Milvus, search time and recall, as large as a row is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import BARE, INK, OURS, figure_of, finish, heading
from embedloop.capabilities import in_words, server_of
from embedloop.verification import MIN_RECALL

# A row of so many bytes is drawn with one square point.
BYTES_A_POINT = 4.0


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    servers = report["servers"]
    figure, panels = figure_of(1, len(servers), height=5.6)
    for axes, server in zip(panels[0], servers.values(), strict=True):
        _points(axes, server)
    rows = report["settings"]["plan"]["rows"]
    title = f"{rows:,} vectors of {report['settings']['dimension']} dimensions; area: bytes a row"
    finish(figure, title, report, path)


def _points(axes: Any, server: Mapping[str, Any]) -> None:
    for number, row in enumerate(one for one in server["types"] if "refused" not in one):
        size = sum(row["bytes_a_row"].values()) / BYTES_A_POINT
        colour = OURS if row["recall_at_10"] >= MIN_RECALL else BARE
        place = (row["search_ms"]["p50"], row["recall_at_10"])
        axes.scatter(*place, s=size, color=colour, alpha=0.6)
        axes.annotate(
            f"{row['name']}, {sum(row['bytes_a_row'].values()):,} B",
            place,
            xytext=(8, 6 if number % 2 else -12),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    axes.axhline(MIN_RECALL, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("p50 ms of a search")
    axes.set_ylabel("recall@10 against float32")
    axes.margins(x=0.35, y=0.15)
    heading(axes, f"{in_words(*server_of(server['version']))}; fastest above the line: {server['proposed']}")
