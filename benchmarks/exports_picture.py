"""The picture of `exports.json`: for each set, the forms' speed, their wait for a query and what they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import BARE, INK, OURS, PLAIN, bars, figure_of, finish, heading


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report, a row a set."""
    sets, aims = report["sets"], report["settings"]["aims"]
    figure, panels = figure_of(len(sets), 3, height=3.6 * len(sets) + 0.8)
    for row, (name, found) in zip(panels, sets.items(), strict=True):
        forms = found["forms"]
        torch = forms["torch"]["passages_per_second"]
        text = f"{name}: {found['passages']:,} passages of {found['words_a_passage']:.0f} words"
        _bars(row[0], forms, lambda one: one["passages_per_second"], "passages a second", "{:.1f}", text)
        _line(row[0], aims["speed_over_torch"] * torch, f"{aims['speed_over_torch']:g} x torch")
        _bars(row[1], forms, lambda one: one["query_ms"], "ms", "{:.1f}", "encoding one query, median")
        _line(row[1], aims["query_ms"], f"{aims['query_ms']:g} ms")
        text = f"nDCG@10 of fp32 {forms['fp32']['ndcg']:.4f}, {found['queries']:,} test queries"
        _bars(row[2], forms, lambda one: 100 * one["ndcg_drop"], "% of nDCG@10 lost", "{:.2f}", text)
        _line(row[2], 100 * aims["ndcg_drop"], f"{aims['ndcg_drop']:.1%}")
    finish(figure, f"{report['settings']['base_model']}, exported", report, path)


def _bars(
    axes: Any,
    forms: Mapping[str, Mapping[str, Any]],
    value: Callable[[Mapping[str, Any]], float],
    unit: str,
    form: str,
    title: str,
) -> None:
    colours = {"torch": PLAIN, "fp32": BARE}
    drawn = [(name.replace(" ", "\n"), value(one), colours.get(name, OURS)) for name, one in forms.items()]
    bars(axes, drawn, unit=unit, form=form)
    heading(axes, title)


def _line(axes: Any, height: float, text: str) -> None:
    axes.axhline(height, color=INK, linewidth=0.8, linestyle=":")
    # Beyond the bars, where it hides none of their numbers.
    axes.annotate(text, (1.0, height), xycoords=("axes fraction", "data"), fontsize=8, color=INK, va="center")
