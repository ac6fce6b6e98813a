"""Commands that measure: what a model version is worth, and what training could bring."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_jobs import CorpusName, ModelOption, start
from embedloop.cli_session import AsJson, Wait, client_of, print_json, print_line
from embedloop.difference_report import to_html, to_markdown
from embedloop.readers import read_questions

SYSTEMS = ("bm25", "base", "serving", "model")
WORST_TERMS = 5

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


class ReportFormat(StrEnum):
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


@app.command()
def difference(
    context: typer.Context,
    corpus: CorpusName,
    index_version: Annotated[str, typer.Argument(metavar="INDEX_VERSION")],
    form: Annotated[ReportFormat, typer.Option("--format", help="Of the report.")] = ReportFormat.MARKDOWN,
) -> None:
    """Show answers before and after: those of an index version beside those of the one that served."""
    with client_of(context) as client:
        report = client.difference(corpus, index_version)
    match form:
        case ReportFormat.MARKDOWN:
            typer.echo(to_markdown(report))
        case ReportFormat.HTML:
            typer.echo(to_html(report))
        case ReportFormat.JSON:
            print_json(report)


@app.command()
def headroom(context: typer.Context, corpus: CorpusName, wait: Wait = False, as_json: AsJson = False) -> None:
    """Tell what training could bring to a corpus and what it would cost, before any is done."""
    start(context, "headroom", corpus, {}, wait, as_json, show_headroom)


def show_headroom(result: dict[str, Any]) -> None:
    """Print a verdict and what it rests on."""
    console = Console()
    print_line(f"{result['verdict'].replace('_', ' ')}: {result['reason']}", style="bold")
    table = Table(result["metric"], "mean", "95% interval", "queries")
    names = {"bm25": "BM25", "baseline": "serving model", "oracle": "best order of its first 100"}
    for name, words in names.items():
        one = result["scores"][name]
        interval = f"{one['low']:.3f} to {one['high']:.3f}"
        table.add_row(words, f"{one['mean']:.3f}", interval, str(one["queries"]))
    console.print(table)
    labels = result["labels"]
    print_line(f"labels: {labels['train']} to train on, {labels['dev']} dev, {labels['golden']} golden")
    for one in (result["curve"] or {"expected": []})["expected"]:
        print_line(
            f"{one['labels']} labels: expected {one['mean']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f}), "
            f"{one['relative']:+.1%}"
        )
    for line in (*_vocabulary(result["vocabulary"]), *_hybrid(result), *_cost(result)):
        print_line(line)
    for note in result["notes"]:
        print_line(f"note: {note}")


def _hybrid(result: dict[str, Any]) -> list[str]:
    if (found := result["hybrid"]) is None:
        return []
    gain = found["gain"]
    told = f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}) on {found['queries']} dev queries"
    if found["proposed"] == found["present"]:
        return [f"words beside vectors: keep bm25_weight {found['present']:g}; tuning it brings {told}"]
    return [f"words beside vectors: bm25_weight {found['proposed']:g} brings {told} over {found['present']:g}"]


def _vocabulary(told: dict[str, Any]) -> list[str]:
    """How the tokenizer cuts the corpus' words, with the terms that it cuts worst."""
    lines = [
        f"words: {told['fertility']:.2f} pieces each, {told['oov_rate']:.1%} not read; {told['terms']} domain "
        f"terms: {told['term_fertility']:.2f} pieces each, {told['kept_whole']:.0%} kept whole",
        f"new terms in the tokenizer: {told['advice']}",
    ]
    if told["worst"]:
        worst = (f"{one['term']} ({' '.join(one['pieces'])})" for one in told["worst"][:WORST_TERMS])
        lines.append(f"cut worst: {', '.join(worst)}")
    return lines


def _cost(result: dict[str, Any]) -> list[str]:
    cost = result["cost"]
    told = [
        f"re-embedding {result['passages']:,} passages: {_duration(cost['reembed_seconds'])} "
        f"({cost['passages_per_second']:.0f} a second)"
    ]
    if training := cost["training"]:
        told.append(f"training on {training['pairs']:,} pairs: {_duration(training['seconds'])}")
    return told


def _duration(seconds: float) -> str:
    """Names a duration as people do.

    >>> _duration(42.3), _duration(930), _duration(9000)
    ('42 s', '16 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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
