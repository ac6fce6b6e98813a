"""The picture of `cleaning.json`: precision and recall of everything that is told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.picture import BARE, INK, OURS, figure_of, finish, heading

Row = tuple[str, float | None, float | None]


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    figure, panels = figure_of(1, 3, height=4.6)
    content, stream = report["content"], report["stream"]
    boilerplate: list[Row] = []
    for kind, found in content.items():
        name = kind.removeprefix("text/").replace("message/rfc822", "mail")
        boilerplate.append((f"{name}: content kept", found["content_precision"], found["content_recall"]))
        boilerplate.append(
            (f"{name}: boilerplate cut", found["boilerplate_precision"], found["boilerplate_recall"])
        )
    _pairs(panels[0, 0], boilerplate)
    heading(panels[0, 0], "Content and boilerplate")
    found = report["personal_data"]["by_type"]
    _pairs(panels[0, 1], [(kind, one["precision"], one["recall"]) for kind, one in found.items()])
    heading(panels[0, 1], "Personal data")
    rows: list[Row] = [
        (name, stream[name]["precision"], stream[name]["recall"]) for name in ("duplicates", "rejects")
    ]
    for name in ("updates_applied", "deletes_applied"):
        if name in stream:
            rows.append((name.replace("_", " "), None, stream[name]["right"] / stream[name]["of"]))
    rows.append(("must keep stays", None, report["personal_data"]["must_keep"]))
    _pairs(panels[0, 2], rows)
    heading(panels[0, 2], "Stream")
    finish(
        figure, f"Cleaning: {report['settings']['events']} raw documents and changes with a key", report, path
    )


def _pairs(axes: Any, rows: Sequence[Row]) -> None:
    """Lying bars, precision above recall; what does not apply is left out."""
    for place, (_, precision, recall) in enumerate(rows):
        for offset, value, colour in ((0.2, recall, OURS), (-0.2, precision, BARE)):
            if value is not None:
                axes.barh(place + offset, value, 0.36, color=colour)
                axes.text(value + 0.01, place + offset, f"{value:.3f}", fontsize=7, va="center", color=INK)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.15)
    axes.set_xlabel("precision (grey), recall (blue)", fontsize=9)
