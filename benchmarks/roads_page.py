"""The tables of `roads.json` as Markdown, in the page that says which road to take when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.machine import ROOT
from benchmarks.roads_list import ROADS
from benchmarks.training_page import filled
from benchmarks.training_scores import LEVEL

PAGE = ROOT / "docs" / "which-road-when.md"
HEAD = ("road", "nDCG@10", "over the base", "hit@5", "training", "a passage", "a query", "dim", "MB")


def write(report: Mapping[str, Any], folder: Path) -> Path:
    """Writes the tables into the page, or beside a report that is not the project's own."""
    own = folder.resolve() == command.RESULTS.resolve()
    path = PAGE if own else folder / PAGE.name
    path.write_text(filled(PAGE.read_text(encoding="utf-8"), tables(report)), encoding="utf-8")
    return path


def tables(report: Mapping[str, Any]) -> str:
    """One table a set."""
    measured, machine = report["measured"], report["machine"]
    lines = [
        f"{machine['cores']} cores of {machine['cpu']}, {measured['at'][:10]}, commit {measured['commit'][:10]}"
        f"{' with changes' if measured['dirty'] else ''}. Means over the test queries, with 95% intervals of "
        "the bootstrap; `*` marks a difference that is significant at 5% (paired randomisation). Training and "
        "passages in CPU time, queries in wall time.",
        "",
    ]
    for name, one in report["sets"].items():
        queries = one["queries"]
        lines += [
            f"### {name}",
            f"{one['documents']:,} documents; {queries['train']:,} training, {queries['dev']:,} dev and "
            f"{queries['golden']:,} test queries.",
            "",
            f"| {' | '.join(HEAD)} |",
            f"|{'---|' * len(HEAD)}",
            *(_row(one["roads"][road.name]) for road in ROADS if road.name in one["roads"]),
            "",
        ]
    return "\n".join(lines)


def _row(road: Mapping[str, Any]) -> str:
    found, over, cost = road["metrics"], road["over_base"]["ndcg@10"], road["cost"]
    quality = found["ndcg@10"]
    cells = (
        road["title"],
        f"{quality['mean']:.3f} ({quality['low']:.3f} to {quality['high']:.3f})",
        f"{over['mean']:+.3f}{'*' if over['p'] < LEVEL else ''}",
        f"{found['hit@5']['mean']:.3f}",
        _told(cost["training_cpu_seconds"], "{:.0f} s"),
        _told(cost["passage_cpu_ms"], "{:.2f} ms"),
        _told(cost["query_ms"], "{:.2f} ms"),
        _told(cost["dimension"], "{:.0f}"),
        _told(cost["model_mb"], "{:.1f}"),
    )
    return f"| {' | '.join(cells)} |"


def _told(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
