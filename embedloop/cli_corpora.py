"""Commands about documents, searches, feedback, models and what serves."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_jobs import CorpusName
from embedloop.cli_session import (
    AsJson,
    client_of,
    print_json,
    print_line,
)
from embedloop.model_card import to_markdown

app = typer.Typer()
models = typer.Typer(help="List model versions, or show the card of one.", invoke_without_command=True)
app.add_typer(models, name="models")


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


@models.callback()
def list_models(
    context: typer.Context,
    corpus: Annotated[str | None, typer.Option(help="Only those of this corpus.")] = None,
    as_json: AsJson = False,
) -> None:
    """List model versions, or show the card of one."""
    if context.invoked_subcommand is not None:
        return
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


@models.command()
def card(context: typer.Context, model_id: str, as_json: AsJson = False) -> None:
    """Show a model version's card: lineage, training, every gate's decision, limits."""
    with client_of(context) as client:
        found = client.model_card(model_id)
    if as_json:
        print_json(found)
    else:
        typer.echo(to_markdown(found))


@app.command()
def index_versions(context: typer.Context, corpus: CorpusName, as_json: AsJson = False) -> None:
    """List a corpus' index versions, and why one failed its verification."""
    with client_of(context) as client:
        found = client.index_versions(corpus)
    if as_json:
        print_json(found)
        return
    table = Table("id", "state", "model", "index", "metric", "vectors", "passages", "lag", "created")
    for version in found:
        index = version["index"]
        named = (version["id"], version["state"], version["model_version"])
        built = (index["index_type"], index["metric_type"], index["vector_type"])
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
