"""The two statements that SQLite and PostgreSQL spell alike but SQLAlchemy types apart."""

from __future__ import annotations

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


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
