"""`embedloop ingest`: documents and judgments in, or a dry run that shows what would become of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_jobs import exit_unless_succeeded
from embedloop.cli_session import (
    Wait,
    client_of,
    counted,
    print_error,
    print_line,
    wait_with_progress,
)
from embedloop.client import Client
from embedloop.errors import Conflict, DocumentRejected, NearDuplicate, NotFound
from embedloop.readers import import_name, read_documents, read_judgments

REFUSALS_SHOWN = 20
EXAMPLES_SHOWN = 3
EXAMPLE_CHARS = 60
# Kept out because the policy says so: nothing went wrong.
_BY_POLICY = (DocumentRejected.code, NearDuplicate.code)

app = typer.Typer()


@app.command()
def ingest(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="BEIR folder, .jsonl[.gz], .csv, or folder of .txt/.md/.html/.eml.")
    ],
    corpus: Annotated[str, typer.Option("--corpus", help="Name of the corpus.")],
    create: Annotated[bool, typer.Option("--create", help="Create the corpus if there is none.")] = False,
    base_model: Annotated[str | None, typer.Option("--base-model", help="For a corpus created now.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be stored, removed and kept out; store nothing.")
    ] = False,
    wait: Wait = False,
) -> None:
    """Store documents, and the judgments of a BEIR folder."""
    documents = read_documents(path)
    with client_of(context) as client:
        if dry_run:
            foreseen = _follow("documents", client.bulk_documents(corpus, documents, dry_run=True))
            _show(foreseen)
            print_line("dry run: nothing was stored")
            refused = foreseen.wrong
        else:
            if create:
                _create_if_absent(client, corpus, base_model, wait)
            stored = _follow("documents", client.bulk_documents(corpus, documents, wait_applied=wait))
            sent = client.bulk_judgments(corpus, read_judgments(path), import_name=import_name(path))
            labels = _follow("judgments", sent)
            refused = stored.wrong + labels.wrong
    if refused:
        raise typer.Exit(1)


@dataclass(slots=True)
class _Tally:
    """How often each thing happened, the size of it, and the first examples."""

    counts: Counter[str] = field(default_factory=Counter)
    chars: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, example: str, *, chars: int = 0) -> None:
        self.counts[name] += 1
        self.chars[name] += chars
        shown = self.examples.setdefault(name, [])
        if len(shown) < EXAMPLES_SHOWN and example not in shown:
            shown.append(example)


@dataclass(slots=True)
class _Upload:
    """What became of an upload, by reason; `wrong` counts refusals that the policy did not want."""

    outcomes: _Tally = field(default_factory=_Tally)
    removed: _Tally = field(default_factory=_Tally)
    redacted: _Tally = field(default_factory=_Tally)
    wrong: int = 0

    def take(self, answer: dict[str, Any]) -> None:
        identity = str(answer.get("id", f"line {answer['line']}"))
        error, found = answer.get("error"), answer.get("cleaning", {})
        rejection = found.get("rejection")
        if error is not None:
            reason, why = _reason(error, rejection)
            self.outcomes.add(f"refused: {reason}", f"{identity}: {why}")
            self.wrong += error["code"] not in _BY_POLICY
        else:
            self.outcomes.add(answer["status"], identity)
            if rejection is not None:
                self.outcomes.add(f"told: {rejection['code']}", f"{identity}: {rejection['detail']}")
        if "duplicate_of" in found and error is None:
            self.outcomes.add("told: near_duplicate", f"{identity} of {found['duplicate_of']['document_id']}")
        for one in found.get("removed", ()):
            self.removed.add(one["rule"], one["example"], chars=one["chars"])
        for kind, count in found.get("redacted", {}).items():
            self.redacted.add(kind, identity, chars=count)


def _reason(error: dict[str, Any], rejection: dict[str, Any] | None) -> tuple[str, str]:
    if rejection is None:
        return error["code"], error["message"]
    return rejection["code"], rejection["detail"]


def _follow(what: str, answers: Iterator[dict[str, Any]]) -> _Upload:
    """Print refused lines and the sum as answers come."""
    upload = _Upload()
    summary: dict[str, Any] = {}

    def run(advance: Callable[[], None]) -> None:
        for answer in answers:
            if "summary" in answer:
                summary.update(answer["summary"])
                continue
            advance()
            upload.take(answer)
            error = answer.get("error")
            if error and error["code"] not in _BY_POLICY and upload.wrong <= REFUSALS_SHOWN:
                name = f" {answer['id']!r}" if answer.get("id") else ""
                print_error(f"{what} line {answer['line']}{name}: {error['message']}", error.get("field"))

    counted(what, run)
    if summary["lines"]:
        names = ("stored", "unchanged", "deleted", "refused")
        print_line(f"{what}: " + ", ".join(f"{summary[name]} {name}" for name in names if summary.get(name)))
    return upload


def _show(upload: _Upload) -> None:
    """Print what became of the documents, what would be removed and what redacted, by reason with examples."""
    _print_tally("what becomes of documents", upload.outcomes, "documents", None)
    _print_tally("removed from documents", upload.removed, "documents", "characters")
    _print_tally("personal data redacted", upload.redacted, "documents", "items")


def _print_tally(title: str, tally: _Tally, counted_as: str, sized_as: str | None) -> None:
    if not tally.counts:
        return
    table = Table(title=title, title_justify="left")
    table.add_column("reason")
    table.add_column(counted_as, justify="right")
    if sized_as is not None:
        table.add_column(sized_as, justify="right")
    table.add_column("for example", overflow="fold")
    for name, count in tally.counts.most_common():
        sizes = [] if sized_as is None else [Text(f"{tally.chars[name]:,}")]
        examples = "\n".join(example[:EXAMPLE_CHARS] for example in tally.examples[name])
        table.add_row(Text(name), Text(f"{count:,}"), *sizes, Text(examples))
    Console().print(table)


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
