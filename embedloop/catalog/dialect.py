"""What SQLite and PostgreSQL spell apart: addresses, upserts, rows in use, a list as one parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import URL, Column, ColumnElement, Connection, Select, Table, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from embedloop.errors import InvalidInput

_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")
_SQLITE = ("sqlite", "sqlite+pysqlite")


def parse_url(url: str) -> URL:
    """The address of a catalog, always with the one driver that is used for its database.

    Raises:
        InvalidInput: it is no URL, or one of a database other than SQLite and PostgreSQL.

    >>> parse_url("postgres://me@db/catalog").drivername
    'postgresql+psycopg'
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # Without the value: it may hold a password.
        raise InvalidInput(
            "database_url must be a URL such as postgresql://user@host/name or sqlite:////path/catalog.db",
            field="database_url",
        ) from error
    if parsed.drivername in _POSTGRESQL:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in _SQLITE:
        return parsed
    raise InvalidInput(
        f"database_url must begin with postgresql:// or sqlite://, got {parsed.drivername}://",
        field="database_url",
    )


def insert_or_ignore(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows whose primary key is not taken yet; the others stay as they are."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), _in_key_order(table, rows))


def insert_or_update(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows; one whose primary key is taken replaces the columns that it names.

    All rows name the same columns; of two rows with one key the later one stays.
    """
    if not rows:
        return
    keys = _key_names(table)
    statement = _insert(connection, table)
    replaced = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=replaced), _in_key_order(table, rows)
    )


def not_held(key: Column[Any], *where: ColumnElement[bool], limit: int | None = None) -> Select[tuple[Any]]:
    """Keys of the rows that match and that no other transaction is changing, for `key IN (...)` of an update.

    On PostgreSQL workers that look for work at the same moment pass over each other's rows instead of waiting
    for them; SQLite has one writer and no such clause, which is left out there.
    """
    free = select(key).where(*where).order_by(key).limit(limit).with_for_update(skip_locked=True).cte("free")
    return select(free.c[key.name])


def parameter(dialect: str) -> str:
    """How the driver marks a parameter of a plain statement."""
    return "?" if dialect == "sqlite" else "%s"


def is_one_of(dialect: str, column: str) -> str:
    """A condition on a list that is one parameter (see `list_parameter`), so that its text never changes."""
    mark = parameter(dialect)
    return (
        f"{column} IN (SELECT value FROM json_each({mark}))"
        if dialect == "sqlite"
        else f"{column} = ANY({mark})"
    )


def list_parameter(dialect: str, values: Sequence[str]) -> object:
    """The values as the driver takes them for `is_one_of`."""
    return json.dumps(values) if dialect == "sqlite" else list(values)


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _key_names(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _in_key_order(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Two transactions that write the same rows must lock them in one order, or one becomes a victim."""
    keys = _key_names(table)
    return sorted(rows, key=lambda row: tuple(row[name] for name in keys))
