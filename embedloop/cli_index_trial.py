"""The command that finds the fastest index settings for a corpus on this machine."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_jobs import CorpusName, start
from embedloop.cli_session import AsJson, Wait, print_line

COLUMNS = ("candidate", "bytes a row", "beside", "build s", "recall@10", "p50 ms", "p95 ms")

app = typer.Typer()


@app.command("index-trial")
def index_trial(
    context: typer.Context,
    corpus: CorpusName,
    rows: Annotated[int | None, typer.Option(help="Passages at most; 20,000 by default.")] = None,
    queries: Annotated[int | None, typer.Option(help="Queries at most; 100 by default.")] = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Tell which policy.index is fastest here for a corpus, among those that find enough; changes nothing."""
    given = {"rows": rows, "queries": queries}
    params = {name: value for name, value in given.items() if value is not None}
    start(context, "index_trial", corpus, params, wait, as_json, partial(show_index_trial, corpus))


def show_index_trial(corpus: str, result: dict[str, Any]) -> None:
    """Print a row for each candidate, and what to send to have the fastest."""
    tried = [row for row in result["candidates"] if "refused" not in row]
    best = result["proposed"]
    table = Table(*COLUMNS, title=f"{result['server']}, {result['rows']:,} of {result['passages']:,} passages")
    for row in tried:
        is_best = best is not None and all(row[field] == value for field, value in best.items())
        table.add_row(*_cells(row), style="bold" if is_best else "")
    Console().print(table)
    for row in result["candidates"]:
        if "refused" in row:
            print_line(f"{row['name']} refused: {row['refused']}")
    sources = (f"{count} {source}" for source, count in result["queries"].items() if count)
    print_line(f"queries: {', '.join(sources)}")
    for note in result["notes"]:
        print_line(f"note: {note}")
    print_line(result["reason"], style="bold")
    if best is not None:
        print_line(f"PATCH /v1/corpora/{corpus} {json.dumps({'policy': {'index': best}})}")
        print_line(f"then: embedloop reindex {corpus} --wait")


def _cells(row: dict[str, Any]) -> tuple[str | Text, ...]:
    size, times = row["bytes_a_row"], row["search_ms"]
    return (
        Text(row["name"]),
        f"{size['index']:,}",
        f"{size['beside']:,}",
        f"{row['build_seconds']:.1f}",
        f"{row['recall_at_10']:.3f}",
        f"{times['p50']:.2f}",
        f"{times['p95']:.2f}",
    )
