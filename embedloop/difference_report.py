"""A difference between two versions' answers as Markdown and as HTML, for people who decide on a promotion."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import zip_longest
from typing import Any

_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>()#+-.!|~&"})
_STYLE = "body{font:15px sans-serif;margin:2em auto;max-width:70em}table{border-collapse:collapse;width:100%}\
td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left;width:50%}.new{background:#e4f5e4}\
.gone{background:#fbe6e6}"


def to_markdown(report: Mapping[str, Any]) -> str:
    """One table for each query; what is only on one side is bold."""
    lines = [f"# {_plain(_heading(report))}", "", _plain(_summary(report)), ""]
    for query in report["queries"]:
        lines += [f"## {_plain(_named(query))}", "", "| # | before | after |", "|---|---|---|"]
        before, after = _documents(query["before"]), _documents(query["after"])
        for rank, (old, new) in enumerate(zip_longest(query["before"], query["after"]), start=1):
            lines.append(f"| {rank} | {_marked(old, after)} | {_marked(new, before)} |")
        lines.append("")
    return "\n".join(lines)


def to_html(report: Mapping[str, Any]) -> str:
    """One page that needs no network; what is gone is red, what is new green."""
    tables = "".join(_table(query) for query in report["queries"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(_heading(report))}</title>'
        f"<style>{_STYLE}</style><h1>{escape(_heading(report))}</h1><p>{escape(_summary(report))}</p>{tables}"
        "</html>\n"
    )


def _heading(report: Mapping[str, Any]) -> str:
    return f"{report['index_version']} beside {report['against']}"


def _summary(report: Mapping[str, Any]) -> str:
    return (
        f"{report['critical']} critical queries. Of {report['recent']} asked lately {report['recent_changed']} "
        f"change, by {report['recent_mean_change']:.2f} on average (0 is the same answer, 1 nothing in common)."
    )


def _named(query: Mapping[str, Any]) -> str:
    critical = "critical, " if query["critical"] else ""
    return f"{query['query']} ({critical}change {query['change']:.2f})"


def _documents(hits: list[dict[str, Any]]) -> set[str]:
    return {hit["document_id"] for hit in hits}


def _words(hit: Mapping[str, Any]) -> str:
    title = "(gone)" if hit["title"] is None else hit["title"]
    return f"{title} {hit['document_id']} {hit['score']:.3f}".strip()


def _marked(hit: Mapping[str, Any] | None, others: set[str]) -> str:
    if hit is None:
        return ""
    words = _plain(_words(hit))
    return words if hit["document_id"] in others else f"**{words}**"


def _plain(text: str) -> str:
    return " ".join(text.split()).translate(_SPECIAL)


def _table(query: Mapping[str, Any]) -> str:
    before, after = _documents(query["before"]), _documents(query["after"])
    rows = "".join(
        f"<tr>{_cell(old, after, 'gone')}{_cell(new, before, 'new')}</tr>"
        for old, new in zip_longest(query["before"], query["after"])
    )
    return f"<h2>{escape(_named(query))}</h2><table><tr><th>before<th>after</tr>{rows}</table>"


def _cell(hit: Mapping[str, Any] | None, others: set[str], mark: str) -> str:
    if hit is None:
        return "<td></td>"
    kind = "" if hit["document_id"] in others else f' class="{mark}"'
    return f"<td{kind}>{escape(_words(hit))}</td>"
