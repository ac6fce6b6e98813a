"""What SQLite and PostgreSQL spell apart: upserts, and a list as one parameter of a plain statement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

ROWS_PER_STATEMENT = 300


def insert_or_ignore(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows whose primary key is not taken yet; the others stay as they are."""
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        statement = _insert(connection, table).values(
            [dict(r) for r in rows[start : start + ROWS_PER_STATEMENT]]
        )
        connection.execute(statement.on_conflict_do_nothing())


def insert_or_update(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows; one whose primary key is taken replaces the columns that it names."""
    keys = [column.name for column in table.primary_key.columns]
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        part = [dict(r) for r in rows[start : start + ROWS_PER_STATEMENT]]
        statement = _insert(connection, table).values(part)
        replaced = {name: statement.excluded[name] for name in part[0] if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=replaced))


def is_one_of(dialect: str, column: str) -> str:
    """A condition on a list that is one parameter (see `list_parameter`), so that its text never changes."""
    return f"{column} IN (SELECT value FROM json_each(?))" if dialect == "sqlite" else f"{column} = ANY(%s)"


def list_parameter(dialect: str, values: Sequence[str]) -> object:
    """The values as the driver takes them for `is_one_of`."""
    return json.dumps(values) if dialect == "sqlite" else list(values)


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
