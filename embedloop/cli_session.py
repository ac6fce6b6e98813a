"""What the commands share: the global options, the client, how results and errors are printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from typer.core import TyperGroup

from embedloop.client import Client
from embedloop.errors import EmbedloopError, Unauthorised

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_DATA_DIR = Path("./embedloop-data")
KEY_FILE = "admin.key"
LONGEST_WAIT_SECONDS = 7 * 86400.0

AsJson = Annotated[bool, typer.Option("--json", help="Print the raw JSON.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is done.")]


class ReportingGroup(TyperGroup):
    """Prints Embedloop's errors as one red line and ends with 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except EmbedloopError as error:
            print_error(error.message, error.field)
            raise typer.Exit(1) from error


@dataclass(frozen=True)
class Session:
    """The global options."""

    url: str
    key: str | None
    data_dir: Path

    def client(self) -> Client:
        """Connect with the key given, or else with the one that `embedloop up` left in the data directory.

        Raises:
            Unauthorised: There is neither.
        """
        return Client(self.url, self.key or self._key_of_data_dir())

    def _key_of_data_dir(self) -> str:
        file = self.data_dir / KEY_FILE
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError as error:
            message = f"no key: give --key, set EMBEDLOOP_KEY, or make {file} readable ({error.strerror})"
            raise Unauthorised(message) from error


def client_of(context: typer.Context) -> Client:
    """Connect as the global options say."""
    session = context.find_object(Session)
    if session is None:
        raise RuntimeError("a command ran without the app's callback")
    return session.client()


def print_line(text: str, style: str = "") -> None:
    """Print to standard output; the text is never read as markup."""
    Console(soft_wrap=True, highlight=False).print(Text(text, style=style))


def print_error(message: str, field: str | None = None) -> None:
    """Print one red line to standard error."""
    where = f" (field: {field})" if field else ""
    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(f"error: {message}{where}", style="red"))


def print_json(value: Any) -> None:
    """Print JSON to standard output as other programs read it."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def wait_with_progress(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    """Show a job's stage and progress until it ended, and return it as it is then."""
    with _progress() as progress:
        bar = progress.add_task(job["kind"], total=1.0)

        def show(now: dict[str, Any]) -> None:
            stage = now["stage"] or now["state"]
            progress.update(bar, completed=now["progress"], description=f"{now['kind']}: {stage}")

        return client.wait_for_job(job["id"], LONGEST_WAIT_SECONDS, show)


def counted(label: str, run: Callable[[Callable[[], None]], None]) -> None:
    """Show a running count while `run` works; it is given what to call after each item."""
    with _progress() as progress:
        bar = progress.add_task(label, total=None)
        run(lambda: progress.advance(bar))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
