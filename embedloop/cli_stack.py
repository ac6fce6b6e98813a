"""Commands that run on the machine itself: the embedded stack, the demo, keys, the doctor.

What they call is imported when they run, so that help and the client commands stay light.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from embedloop.cli_session import DEFAULT_DATA_DIR
from embedloop.errors import MissingExtra

SUPERVISOR = "embedloop.supervisor"

app = typer.Typer()

DataDir = Annotated[Path, typer.Option("--data-dir", help="Folder that holds everything.")]


@app.command()
def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Number of workers that re-embed.")] = 1,
    milvus: Annotated[str | None, typer.Option(help="URI of a Milvus of your own.")] = None,
    database: Annotated[str | None, typer.Option(help="URL of a PostgreSQL of your own.")] = None,
    broker: Annotated[str | None, typer.Option(help="URL of a Redis or Valkey of your own.")] = None,
) -> None:
    """Run the whole service on this machine."""
    run = _imported(SUPERVISOR, "up", "embedded")
    code = run(data_dir=data_dir, port=port, workers=workers, milvus=milvus, database=database, broker=broker)
    raise typer.Exit(code)


@app.command()
def demo(
    full: Annotated[bool, typer.Option("--full", help="Every term of the ontology.")] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Import labels instead of playing users who vote.")
    ] = False,
    terms: Annotated[int, typer.Option(min=1, help="How many terms of the ontology.")] = 6000,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the service running and its data in place.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="A temporary one by default.")] = None,
    report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("report.html"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
) -> None:
    """Show on a medical ontology how feedback makes searches better."""
    run = _imported("embedloop.demo.run", "demo", "demo")
    code = run(full=full, labels=labels, terms=terms, keep=keep, data_dir=data_dir, report=report, port=port)
    raise typer.Exit(code)


@app.command()
def keys(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show the admin key of a data directory."""
    raise typer.Exit(_imported(SUPERVISOR, "show_admin_key", "embedded")(data_dir))


@app.command()
def doctor(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Check what the service needs, and say what is missing."""
    raise typer.Exit(_imported("embedloop.doctor", "doctor", "embedded")(data_dir))


def _imported(module: str, name: str, extra: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "embedloop":
            raise
        message = f"{module} needs {error.name}: pip install 'embedloop[{extra}]'"
        raise MissingExtra(message) from error
