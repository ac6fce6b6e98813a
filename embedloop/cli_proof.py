"""Commands that measure: what a model version is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_jobs import CorpusName, ModelOption, start
from embedloop.cli_session import AsJson, Wait, print_line
from embedloop.readers import read_questions

SYSTEMS = ("bm25", "base", "serving", "model")

app = typer.Typer()


@app.command()
def evaluate(
    context: typer.Context,
    corpus: CorpusName,
    model: ModelOption = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", help="Rank that metrics are told at; may be repeated.")
    ] = None,
    label_field: Annotated[
        str | None, typer.Option("--label-field", help="Metadata field that labels documents.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option("--questions", help='JSONL of {"question": ..., "answers": [...]}.')
    ] = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model version (the serving one by default) beside its base, the serving one and BM25."""
    given = {
        "model_version": model,
        "k": k or None,
        "label_field": label_field,
        "questions": None if questions is None else read_questions(questions),
    }
    params = {name: value for name, value in given.items() if value is not None}
    start(context, "evaluate", corpus, params, wait, as_json, show_evaluation)


def show_evaluation(result: dict[str, Any]) -> None:
    """Print an evaluation as tables."""
    console = Console()
    table = Table("metric", *SYSTEMS, "model - serving", "p")
    for metric in result["model"]["metrics"]:
        means = (f"{result[system]['metrics'][metric]:.3f}" for system in SYSTEMS)
        table.add_row(metric, *means, *_gained(result["serving"]["uplift"][metric]))
    console.print(table)
    if result["slices"]:
        console.print(_slices(result["slices"]))
    for system in SYSTEMS:
        for line in _beside(result, system):
            print_line(f"{system}: {line}")
    print_line(f"{result['queries']} golden queries, {result['passages']} passages")


def _slices(rows: list[dict[str, Any]]) -> Table:
    metric = next(name for name in rows[0] if name not in ("facet", "value", "queries"))
    table = Table("slice", "queries", *SYSTEMS, title=metric)
    for row in rows:
        means = (f"{row[metric][system]:.3f}" for system in SYSTEMS)
        table.add_row(Text(f"{row['facet']}: {row['value']}"), str(row["queries"]), *means)
    return table


def _beside(result: dict[str, Any], system: str) -> list[str]:
    """What else was measured of a system, in words."""
    told = []
    if labels := result[system].get("labels"):
        coherence, downstream = labels["coherence"], labels["downstream"]
        told.append(
            f"{labels['labels']} labels: silhouette {coherence['silhouette']:.3f}, cosine distance within "
            f"{coherence['intra']:.3f} and between {coherence['inter']:.3f}; F1 of kNN "
            f"{downstream['knn_f1']:.3f}, of a linear probe {downstream['linear_f1']:.3f}"
        )
    if answers := (result.get("rag") or {}).get(system):
        held, right = answers["answer_in_context"]["mean"], answers["answer_accuracy"]
        accuracy = "" if right is None else f", answered rightly {right['mean']:.3f}"
        told.append(f"answer in context {held:.3f}{accuracy} ({answers['questions']} questions)")
    return told


def _gained(uplift: dict[str, float]) -> tuple[str, str]:
    interval = f"{uplift['mean']:+.3f} ({uplift['low']:+.3f} to {uplift['high']:+.3f})"
    return interval, f"{uplift['p']:.3f}"
