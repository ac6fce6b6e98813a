"""What the benchmark tells while it runs: progress on stderr, tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_progress = Console(stderr=True)
# Wide enough for every table, also where the output is no terminal.
_tables = Console(width=120)


def say(text: str) -> None:
    """One line of progress."""
    _progress.log(escape(text), _stack_offset=2)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A short table; the first column is left-aligned, the others are figures."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(_written(cell) for cell in row))
    _tables.print(table)


def _written(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return "" if cell is None else escape(str(cell))
