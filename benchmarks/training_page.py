"""The tables of `training.json` as Markdown, and the page that they stand in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import command, verdicts
from benchmarks.machine import ROOT
from benchmarks.training_picture import METRICS, NAMES
from benchmarks.training_scores import LEVEL, SYSTEMS
from embedloop.errors import InvalidInput

PAGE = ROOT / "docs" / "training-results.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write(report: Mapping[str, Any], folder: Path) -> Path:
    """Writes the tables into the page, or beside a report that is not the project's own."""
    own = folder.resolve() == command.RESULTS.resolve()
    path = PAGE if own else folder / PAGE.name
    page = PAGE.read_text(encoding="utf-8")
    path.write_text(filled(page, tables(report)), encoding="utf-8")
    return path


def filled(page: str, figures: str) -> str:
    """The page with what stands between the two marks replaced.

    Raises:
        InvalidInput: The page does not have the marks.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise InvalidInput(f"the page needs the marks {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{figures.strip()}\n{END}{tail}"


def tables(report: Mapping[str, Any] | None) -> str:
    """All tables; without a report the words that nothing was measured."""
    if report is None or not report.get("sets"):
        return "Nothing has been measured yet."
    measured, machine, sets = report["measured"], report["machine"], report["sets"]
    lines = [
        f"{machine['cores']} cores of {machine['cpu']}, {report['settings']['device']}, {measured['at'][:10]}, "
        f"commit {measured['commit'][:10]}{' with changes' if measured['dirty'] else ''}. "
        "Means with 95% intervals of the bootstrap over the test queries.",
        "",
    ]
    for name, one in sets.items():
        lines += _set(name, one)
    lines += ["### What is claimed", "", *_markdown(["", "value", "aim", "met"], verdict_rows(report))]
    return "\n".join(lines) + "\n"


def read(folder: Path) -> dict[str, Any] | None:
    """The report in a folder, if there is one."""
    path = folder / "training.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def verdict_rows(report: Mapping[str, Any]) -> list[list[Any]]:
    """The aims as rows: name, value, aim, met."""
    return verdicts.rows(report["aims"])


def _set(name: str, one: Mapping[str, Any]) -> list[str]:
    queries, pairs = one["queries"], one["pairs"]
    lines = [
        f"### {name}",
        f"{one['documents']:,} documents; {pairs['train']:,} training pairs, {queries['dev']:,} dev and "
        f"{queries['test']:,} test queries, apart {one['split']}. "
        f"Measured {one['measured']['at'][:10]}, commit {one['measured']['commit'][:10]}.",
        "",
        *_systems(one["test"], one),
        "",
        _over(one["test"], "Ours over"),
    ]
    if "test_of_unseen_documents" in one:
        unseen = one["test_of_unseen_documents"]
        lines += [
            "",
            f"On the {unseen['queries']} test queries none of whose documents a training or dev query has:",
            "",
            *_systems(unseen, None),
            "",
            _over(unseen, "Ours over"),
        ]
    return [*lines, ""]


def _systems(test: Mapping[str, Any], whole: Mapping[str, Any] | None) -> list[str]:
    """The systems on some test queries, and what is told of the whole set."""
    head = ["", *METRICS.values()]
    if whole is not None:
        head += ["general set", whole["elsewhere"]["set"] + " instead", "minutes"]
    rows = []
    for system in SYSTEMS:
        row = [NAMES[system], *(_interval(test["systems"][system][metric]) for metric in METRICS)]
        if whole is not None:
            row += [_general(whole[where].get(system)) for where in ("general", "elsewhere")]
            row.append(_minutes(whole["training"].get(system)))
        rows.append(row)
    return _markdown(head, rows)


def _over(test: Mapping[str, Any], words: str) -> str:
    """Ours over the plain recipe and over the base, in a sentence."""
    parts = []
    for system in ("plain", "base"):
        told = []
        for metric, title in METRICS.items():
            one = test["ours_over"][system][metric]
            star = "" if one["p"] < LEVEL else ", not significant"
            told.append(f"{title} {one['mean']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f}{star})")
        parts.append(f"{words} the {NAMES[system]}: {'; '.join(told)}.")
    return "\n".join(parts)


def _interval(one: Mapping[str, float]) -> str:
    return f"{one['mean']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _general(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return ""
    change = one.get("change")
    return f"{one['mean']:.3f}" + (f" ({change['mean']:+.3f})" if change else "")


def _minutes(one: Mapping[str, Any] | None) -> str:
    return "" if one is None else f"{one['seconds'] / 60:.1f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines]
