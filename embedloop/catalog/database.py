"""The catalog's engine: transactions on SQLite and PostgreSQL, with foreign exceptions translated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from embedloop.errors import Unavailable

BUSY_TIMEOUT_MS = 10_000
_POSTGRESQL_ARGUMENTS = {"connect_timeout": 5, "options": "-c statement_timeout=30000 -c lock_timeout=10000"}


class Database:
    """One engine per process. `write()` and `read()` each are one transaction.

    On SQLite a write begins IMMEDIATE, so that two writers queue at the start instead of failing in the middle;
    on PostgreSQL every statement is bounded by a timeout.
    """

    def __init__(self, url: str, *, pool_size: int = 8):
        self.url = url
        self.engine = _create_engine(url, pool_size)
        self._lookups = _lookup_engine(self.engine)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits when the block ends and rolls back when it raises.

        Raises:
            Unavailable: the database does not answer or stayed locked for too long.
        """
        with _translated(), self.engine.connect() as connection:
            connection.info["begin"] = "BEGIN IMMEDIATE"
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction for reading: one consistent view on SQLite, read committed on PostgreSQL.

        Raises:
            Unavailable: the database does not answer.
        """
        with _translated(), self.engine.connect() as connection:
            connection.info["begin"] = "BEGIN"
            with connection.begin():
                yield connection

    def lookup(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one SELECT in the driver's own words, without a transaction around it.

        For the search path: there SQLAlchemy's compiling and the transaction's round trips cost several times
        what the reading does. A connection that the server closed meanwhile is replaced once.

        Raises:
            Unavailable: the database does not answer.
        """
        with _translated():
            try:
                return self._look_up(statement, parameters)
            except _Disconnected:
                return self._look_up(statement, parameters)

    def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        with self.read() as connection:
            connection.execute(select(1))

    def _look_up(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        dialect = self._lookups.dialect
        connection = self._lookups.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())
        except dialect.loaded_dbapi.Error as error:
            message = f"the catalog does not answer: {error}"
            if dialect.is_disconnect(error, connection.driver_connection, None):
                connection.invalidate()
                raise _Disconnected(message, retry_after_seconds=2) from error
            raise Unavailable(message, retry_after_seconds=2) from error
        finally:
            connection.close()

    def dispose(self) -> None:
        self.engine.dispose()
        self._lookups.dispose()


class _Disconnected(Unavailable):
    """The connection came from the pool and had been closed by the server."""


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


def clock() -> float:
    """Seconds since the epoch: leases are compared between processes, so a process' own clock will not do."""
    return time.time()


def lock_change_log(connection: Connection) -> None:
    """Makes `seq` order the commit order: on PostgreSQL a sequence alone does not (SQLite has one writer)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(727001)"))


def _create_engine(url: str, pool_size: int) -> Engine:
    if url.startswith("sqlite"):
        engine = create_engine(
            url,
            pool_size=pool_size,
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url,
        pool_size=pool_size,
        pool_pre_ping=True,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        connect_args=_POSTGRESQL_ARGUMENTS,
    )


def _lookup_engine(engine: Engine) -> Engine:
    """SQLite's connections are in autocommit mode until a BEGIN; PostgreSQL's need a pool of their own for it."""
    if engine.dialect.name == "sqlite":
        return engine
    return create_engine(
        engine.url, pool_size=2, pool_timeout=5, isolation_level="AUTOCOMMIT", connect_args=_POSTGRESQL_ARGUMENTS
    )


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: `begin` below decides which kind it is.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "foreign_keys=ON",
        "cache_size=-65536",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.info.pop("begin", "BEGIN IMMEDIATE"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("the catalog has no free connection", retry_after_seconds=1) from error
    except OperationalError as error:
        raise Unavailable(f"the catalog does not answer: {error.orig}", retry_after_seconds=2) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("the catalog closed the connection", retry_after_seconds=2) from error
        raise
