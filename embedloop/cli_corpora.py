"""Commands about documents, searches, feedback, models and what serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_jobs import CorpusName, exit_unless_succeeded
from embedloop.cli_session import (
    AsJson,
    Wait,
    client_of,
    counted,
    print_error,
    print_json,
    print_line,
    wait_with_progress,
)
from embedloop.client import Client
from embedloop.errors import Conflict, NotFound
from embedloop.readers import read_documents, read_judgments

REFUSALS_SHOWN = 20

app = typer.Typer()


@app.command()
def ingest(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="BEIR folder, .jsonl[.gz], .csv, or folder of .txt/.md/.html.")],
    corpus: Annotated[str, typer.Option("--corpus", help="Name of the corpus.")],
    create: Annotated[bool, typer.Option("--create", help="Create the corpus if there is none.")] = False,
    base_model: Annotated[str | None, typer.Option("--base-model", help="For a corpus created now.")] = None,
    wait: Wait = False,
) -> None:
    """Store documents, and the judgments of a BEIR folder."""
    documents = read_documents(path)
    with client_of(context) as client:
        if create:
            _create_if_absent(client, corpus, base_model, wait)
        stored = client.bulk_documents(corpus, documents, wait_applied=wait)
        refused = _follow("documents", stored)
        refused += _follow("judgments", client.bulk_judgments(corpus, read_judgments(path)))
    if refused:
        raise typer.Exit(1)


@app.command()
def search(
    context: typer.Context,
    corpus: CorpusName,
    query: str,
    top_k: Annotated[int, typer.Option("-k", "--top-k", help="How many passages.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Search a corpus."""
    with client_of(context) as client:
        found = client.search(corpus, query, top_k=top_k)
    if as_json:
        print_json(found.raw)
        return
    table = Table("rank", "score", "document", "title", "text")
    for hit in found.results:
        cells = (hit.document_id, hit.title, " ".join(hit.text.split())[:160])
        table.add_row(str(hit.rank), f"{hit.score:.3f}", *map(Text, cells))
    Console().print(table)
    print_line(f"retrieval {found.retrieval_id}, {found.index_version}, {found.model_version}")


@app.command()
def feedback(
    context: typer.Context,
    retrieval_id: str,
    signal: Annotated[str, typer.Argument(help="up, down, click, correct or none_relevant.")],
    document: Annotated[str | None, typer.Option("--document", help="Id of the document meant.")] = None,
    comment: Annotated[str | None, typer.Option("--comment", help="Free text.")] = None,
) -> None:
    """Say how an answer was."""
    with client_of(context) as client:
        given = client.feedback(retrieval_id, signal, document, comment=comment)
    print_line(f"feedback {given['feedback_id']}: {given['status']}")


@app.command()
def models(
    context: typer.Context,
    corpus: Annotated[str | None, typer.Option(help="Only those of this corpus.")] = None,
    as_json: AsJson = False,
) -> None:
    """List model versions."""
    with client_of(context) as client:
        found = client.models(corpus)
    if as_json:
        print_json(found)
        return
    table = Table("id", "base", "parent", "corpus", "dimension", "created")
    for model in found:
        names = ("id", "base", "parent", "corpus", "dimension", "created_at")
        table.add_row(*(Text(str(model[name] if model[name] is not None else "-")) for name in names))
    Console().print(table)


@app.command()
def index_versions(context: typer.Context, corpus: CorpusName, as_json: AsJson = False) -> None:
    """List a corpus' index versions, and why one failed its verification."""
    with client_of(context) as client:
        found = client.index_versions(corpus)
    if as_json:
        print_json(found)
        return
    table = Table("id", "state", "model", "index", "metric", "passages", "lag", "created")
    for version in found:
        index = version["index"]
        named = (version["id"], version["state"], version["model_version"])
        built = (index["index_type"], index["metric_type"])
        counted_now = (f"{version['passages']:,}", f"{version['lag']:,}", version["created_at"])
        table.add_row(*map(Text, named + built + counted_now))
    Console().print(table)
    for version in found:
        for reason in (version.get("verification") or {}).get("reasons", ()):
            print_line(f"{version['id']} failed its verification: {reason}")


@app.command()
def promote(
    context: typer.Context,
    corpus: CorpusName,
    index_version: Annotated[str, typer.Argument(metavar="INDEX_VERSION")],
) -> None:
    """Make an index version the serving one."""
    with client_of(context) as client:
        _print_serving(client.promote(corpus, index_version))


@app.command()
def rollback(context: typer.Context, corpus: CorpusName) -> None:
    """Return to the index version that served before; no write is lost."""
    with client_of(context) as client:
        _print_serving(client.rollback(corpus))


def _print_serving(now: dict[str, Any]) -> None:
    print_line(f"{now['corpus']} serves {now['serving']}, before it {now['previous'] or 'nothing'}")


def _create_if_absent(client: Client, corpus: str, base_model: str | None, wait: bool) -> None:
    try:
        present = client.corpus(corpus)
    except NotFound:
        created = client.create_corpus(corpus, base_model=base_model)
        print_line(f"created corpus {corpus}")
        if wait and created.get("job"):
            exit_unless_succeeded(wait_with_progress(client, client.job(created["job"])))
        return
    used = present["policy"]["base_model"]
    if base_model is not None and base_model != used:
        message = f"corpus {corpus!r} exists with base model {used!r}, not {base_model!r}"
        raise Conflict(message, field="base_model")


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
                name = f" {answer['id']!r}" if answer.get("id") else ""
                print_error(f"{what} line {answer['line']}{name}: {error['message']}", error.get("field"))

    counted(what, run)
    if summary["lines"]:
        names = ("stored", "unchanged", "deleted", "refused")
        print_line(f"{what}: " + ", ".join(f"{summary[name]} {name}" for name in names if summary.get(name)))
    return int(summary["refused"])
