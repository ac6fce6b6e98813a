"""The catalog's engine: transactions on SQLite and PostgreSQL, with foreign exceptions translated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from embedloop.catalog.dialect import parse_url
from embedloop.errors import MissingExtra, Unavailable

BUSY_TIMEOUT_MS = 10_000
# Beyond the server's own limit for a statement, which a server that hangs does not keep.
PATIENCE_SECONDS = 35.0
# Of the search path: an unverified answer is better than none.
LOOKUP_SECONDS = 2.0
_POSTGRESQL_ARGUMENTS = {
    "application_name": "embedloop",
    "connect_timeout": 5,
    # A process that was stopped in the middle of a transaction must not keep its locks for ever.
    "options": (
        "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"
    ),
    # A server that vanished from the network answers nothing, not even with an end.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
# The server itself is well and refuses what it would refuse again: a statement or a row over its limits.
_OVER_A_LIMIT = "54"
# A standby took over and is not promoted yet; the process that migrates is not done yet.
_NOT_YET = ("25006", "42P01")


class Database:
    """One engine per process. `write()` and `read()` each are one transaction.

    On SQLite a write begins IMMEDIATE, so that two writers queue at the start instead of failing in the middle.
    On PostgreSQL every statement is bounded by a timeout, and writers run side by side, read committed: each
    statement sees what was committed before it. What a write decides on, it locks first (`lock=True` where a
    row is read), or puts into the condition of its update.

    Raises:
        InvalidInput: the URL is of no database that is known here.
        MissingExtra: the driver of PostgreSQL is not installed.
    """

    def __init__(self, url: str, *, pool_size: int = 8):
        self.url = url
        self.engine = _create_engine(parse_url(url), pool_size)
        self._views = _view_engine(self.engine)
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
        """A transaction that sees one moment from its first statement to its end, and writes nothing.

        Raises:
            Unavailable: the database does not answer.
        """
        with _translated(), self._views.connect() as connection:
            connection.info["begin"] = "BEGIN"
            with connection.begin():
                yield connection

    def lookup(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one SELECT in the driver's own words, without a transaction around it.

        For the search path: there SQLAlchemy's compiling and the transaction's round trips cost several times
        what the reading does. Connections that the server closed meanwhile are replaced once.

        Raises:
            Unavailable: the database does not answer.
        """
        with _translated():
            try:
                return self._look_up(statement, parameters)
            except _Disconnected:
                # The server closed the others of the pool too.
                self._lookups.dispose()
                return self._look_up(statement, parameters)

    def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        with self.read() as connection:
            connection.execute(select(1))

    def _look_up(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        dialect, begin = self._lookups.dialect, time.monotonic()
        connection = None
        try:
            connection = self._lookups.raw_connection()
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())
        except dialect.loaded_dbapi.Error as error:
            message = f"the catalog does not answer: {error}"
            if connection is not None and dialect.is_disconnect(error, connection.driver_connection, None):
                connection.invalidate()
                if time.monotonic() - begin < LOOKUP_SECONDS:
                    raise _Disconnected(message, retry_after_seconds=2) from error
            raise Unavailable(message, retry_after_seconds=2) from error
        finally:
            if connection is not None:
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
    """Makes `seq` order the commit order: on PostgreSQL a sequence alone does not (SQLite has one writer).

    The lock is held to the end of the transaction and taken before its first row is written, so that two
    batches of changes never hold each other's rows either.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(727001)"))


def _create_engine(url: URL, pool_size: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            pool_size=pool_size,
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            url,
            pool_size=pool_size,
            pool_pre_ping=True,
            pool_timeout=BUSY_TIMEOUT_MS / 1000,
            connect_args=_POSTGRESQL_ARGUMENTS,
        )
        _bound_waits(engine, PATIENCE_SECONDS)
    except ImportError as error:
        raise MissingExtra(
            "a catalog on PostgreSQL needs psycopg: pip install 'embedloop[postgres]'"
        ) from error
    return engine


def _bound_waits(engine: Engine, seconds: float) -> None:
    # Here, because psycopg comes with an extra.
    from embedloop.catalog.postgresql import bound_waits

    bound_waits(engine, seconds)


def _view_engine(engine: Engine) -> Engine:
    """The same pool; a transaction of SQLite is one view as it is."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _lookup_engine(engine: Engine) -> Engine:
    """PostgreSQL's need a pool of their own for autocommit; SQLite's are in that mode until a BEGIN."""
    if engine.dialect.name == "sqlite":
        return engine
    lookups = create_engine(
        engine.url,
        pool_size=2,
        pool_timeout=LOOKUP_SECONDS,
        isolation_level="AUTOCOMMIT",
        connect_args=_POSTGRESQL_ARGUMENTS | {"connect_timeout": int(LOOKUP_SECONDS)},
    )
    _bound_waits(lookups, LOOKUP_SECONDS)
    return lookups


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
    except DBAPIError as error:
        if not _passes(error):
            raise
        raise Unavailable(f"the catalog does not answer: {error.orig}", retry_after_seconds=2) from error


def _passes(error: DBAPIError) -> bool:
    """Whether the same call can succeed later: a lost connection, a timeout, a deadlock, a full disk."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if error.connection_invalidated or state in _NOT_YET:
        return True
    return isinstance(error, OperationalError) and not state.startswith(_OVER_A_LIMIT)
