"""Commands about what models learn from: imports of labels, the trace of pairs, removals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_jobs import CorpusName
from embedloop.cli_session import AsJson, client_of, counted, print_error, print_json, print_line
from embedloop.errors import InvalidInput
from embedloop.pair_readers import Scores, read_labelled
from embedloop.readers import import_name

REFUSALS_SHOWN = 20

app = typer.Typer()


@app.command("import")
def import_labels(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="BEIR folder, or .jsonl[.gz], .csv, .tsv, .parquet of pairs or labels.")
    ],
    corpus: Annotated[str, typer.Option("--corpus", help="Name of the corpus.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Of the import in the lineage; the file's by default.")
    ] = None,
    score_scale: Annotated[float, typer.Option("--score-scale", min=1e-9, help="Greatest score.")] = 1.0,
    positive_from: Annotated[
        float, typer.Option("--positive-from", min=0.0, max=1.0, help="Share of the scale that says relevant.")
    ] = 0.5,
) -> None:
    """Import labelled pairs, triplets or judgments; of a BEIR folder its qrels: `ingest` takes all of it."""
    labelled = read_labelled(path, Scores(score_scale, positive_from))
    named = name or import_name(path)
    with client_of(context) as client:
        send = client.bulk_judgments if labelled.kind == "judgments" else client.bulk_pairs
        refused = _follow(labelled.kind, send(corpus, labelled.lines, import_name=named))
    if refused:
        raise typer.Exit(1)


@app.command()
def trace(
    context: typer.Context,
    corpus: CorpusName,
    query: Annotated[str | None, typer.Option("--query", help="The anchor of the pair.")] = None,
    document: Annotated[str | None, typer.Option("--document", help="Id, as positive or negative.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Id of feedback or import:name:line.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only what this model version saw.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 50,
    as_json: AsJson = False,
) -> None:
    """Trace training pairs to their sources, or a source to the models that saw it."""
    with client_of(context) as client:
        found = client.training_pairs(
            corpus, query=query, document_id=document, source=source, model_version=model, limit=limit
        )
    if as_json:
        print_json(found)
        return
    table = Table("query", "document", "split", "sources", "model versions")
    for pair in found:
        labels = [one for kind in ("feedback", "import", "transfer") for one in pair["sources"].get(kind, [])]
        cells = (pair["query"] or "-", pair["document_id"], pair["split"])
        table.add_row(
            *map(Text, cells), Text("\n".join(labels)), Text("\n".join(pair["model_versions"]) or "-")
        )
    Console().print(table)


@app.command()
def forget(
    context: typer.Context,
    person: Annotated[str | None, typer.Option("--person", help="The session that they search under.")] = None,
    key: Annotated[str | None, typer.Option("--key-id", help="Only where it came with this key.")] = None,
    document: Annotated[str | None, typer.Option("--document", help="Id of a document.")] = None,
    corpus: Annotated[str | None, typer.Option("--corpus", help="Of the document; of a person: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take a person's or a document's data out of all future training."""
    if (person is None) == (document is None):
        raise InvalidInput("give --person or --document", field="person")
    with client_of(context) as client:
        done = client.forget(person=person, key_id=key, document_id=document, corpus=corpus)
    if as_json:
        print_json(done)
        return
    print_line(f"removal {done['id']}: {_told(done['removed'])}")
    seen = ", ".join(done["model_versions"]) or "none"
    print_line(f"model versions that saw the data: {seen}")


@app.command("removals")
def list_removals(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what was taken out of training, and which model versions saw it."""
    with client_of(context) as client:
        found = client.removals()
    if as_json:
        print_json(found)
        return
    table = Table("removal", "of a", "corpus", "removed", "model versions", "asked for", "settled")
    for one in found:
        cells = (one["id"], one["kind"], one["corpus"] or "all", _told(one["removed"]))
        seen = "\n".join(one["model_versions"]) or "-"
        table.add_row(*map(Text, (*cells, seen, one["updated_at"], one["settled_at"] or "not yet")))
    Console().print(table)


def _told(removed: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in removed.items()) or "nothing was there"


def _follow(what: str, answers: Iterator[dict[str, Any]]) -> int:
    """Print refused lines and the sum as answers come; return how many were refused."""
    summary: dict[str, Any] = {}

    def run(advance: Callable[[], None]) -> None:
        shown = 0
        for answer in answers:
            if "summary" in answer:
                summary.update(answer["summary"])
                continue
            advance()
            if answer["status"] == "refused" and (shown := shown + 1) <= REFUSALS_SHOWN:
                error = answer["error"]
                print_error(f"{what} line {answer['line']}: {error['message']}", error.get("field"))

    counted(what, run)
    print_line(f"{what}: {summary['stored']} stored, {summary['refused']} refused")
    return int(summary["refused"])
