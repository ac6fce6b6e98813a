"""The command line: `embedloop ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedloop import (
    cli_corpora,
    cli_index_trial,
    cli_ingest,
    cli_jobs,
    cli_lineage,
    cli_proof,
    cli_stack,
)
from embedloop.cli_session import DEFAULT_DATA_DIR, DEFAULT_URL, ReportingGroup, Session

app = typer.Typer(
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="A retrieval service whose embedding model keeps learning one team's language.",
)
app.add_typer(cli_stack.app)
app.add_typer(cli_ingest.app)
app.add_typer(cli_corpora.app)
app.add_typer(cli_jobs.app)
app.add_typer(cli_proof.app)
app.add_typer(cli_index_trial.app)
app.add_typer(cli_lineage.app)


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="EMBEDLOOP_URL", help="Address of the service.")] = DEFAULT_URL,
    key: Annotated[str | None, typer.Option(envvar="EMBEDLOOP_KEY", help="API key.")] = None,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Where admin.key is read when no key is given.")
    ] = DEFAULT_DATA_DIR,
) -> None:
    """Take the options of every command."""
    context.obj = Session(url, key, data_dir)
