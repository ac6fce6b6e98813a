"""What the pictures have in common: colours, size, title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import verdicts
from embedloop.capabilities import in_words, server_of

OURS, PLAIN, BARE, INK, PALE = "#1f6f8b", "#c8553d", "#9aa5b1", "#333333", "#e4e7eb"


def figure_of(rows: int, columns: int, height: float = 8.2) -> tuple[Figure, Any]:
    """A figure with a grid of panels."""
    figure = Figure(figsize=(12.5, height), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    return figure, panels


def finish(figure: Figure, title: str, report: Mapping[str, Any], path: Path) -> None:
    """Writes the title, with machine, date and commit, and saves the figure."""
    machine, measured = report["machine"], report["measured"]
    commit = (measured["commit"][:10] or "?") + (" with changes" if measured["dirty"] else "")
    figure.suptitle(
        f"{title}\n{machine['cores']} cores of {machine['cpu']}; {measured['at'][:10]}, commit {commit}",
        fontsize=11,
        color=INK,
    )
    partial = path.with_suffix(".partial")
    figure.savefig(partial, format="png")
    partial.replace(path)


def milvus_of(report: Mapping[str, Any]) -> str:
    """Which Milvus, in words.

    >>> milvus_of({"milvus": {"kind": "engine", "version": "v2.3.5-lite"}})
    'Milvus 2.3.5'
    >>> milvus_of({"milvus": {"kind": "lite", "version": "milvus_lite-3.2.2"}})
    'Milvus Lite 3.2.2'
    """
    return in_words(*server_of(report["milvus"]["version"]))


def heading(axes: Any, text: str) -> None:
    """A panel's title."""
    axes.set_title(text, fontsize=10, loc="left")


def wide(figure: Figure, panels: Any, row: int) -> Any:
    """One panel in the place of a whole row."""
    grid = panels[row, 0].get_gridspec()
    for axes in panels[row]:
        axes.remove()
    axes = figure.add_subplot(grid[row, :])
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def gaps(column: Sequence[float | None]) -> list[float]:
    """What could not be read leaves a gap in the line."""
    return [float("nan") if value is None else value for value in column]


def bars(axes: Any, drawn: Sequence[tuple[str, float, str]], *, unit: str, form: str = "{:.0f}") -> None:
    """Upright bars (name, value, colour), each with its value above it."""
    shown = axes.bar(range(len(drawn)), [value for _, value, _ in drawn], 0.6, color=[c for *_, c in drawn])
    axes.bar_label(shown, [form.format(value) for _, value, _ in drawn], fontsize=9, padding=2)
    axes.set_xticks(range(len(drawn)), [name for name, *_ in drawn])
    axes.margins(y=0.12)
    axes.set_ylabel(unit)


def verdict_table(axes: Any, judged: Mapping[str, Mapping[str, Any]]) -> None:
    """The ratios beside their aims, as text."""
    axes.set_axis_off()
    lines = [("", "value", "aim", "met")]
    lines += [(name, f"{value:.3g}", aim or "", met or "") for name, value, aim, met in verdicts.rows(judged)]
    for number, line in enumerate(lines):
        y = 0.95 - number * min(0.12, 0.9 / len(lines))
        colour = "#a33" if line[3] == "no" else INK
        for x, text in zip((0.0, 0.62, 0.72, 0.92), line, strict=True):
            axes.text(x, y, text, fontsize=9, color=colour, va="top", transform=axes.transAxes)
