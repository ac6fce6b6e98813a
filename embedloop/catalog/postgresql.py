"""PostgreSQL's driver with an end to every wait: the server's own timeouts are of no use when it hangs."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, OperationalError
from psycopg.pq import TransactionStatus
from sqlalchemy import event
from sqlalchemy.engine import Engine


class BoundedConnection(Connection[Any]):
    """A connection that gives up a server that neither answers nor closes; it is of no use after that."""

    patience_seconds: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Waits for one exchange with the server. Raises OperationalError after `patience_seconds`."""
        try:
            return super().wait(gen, interval, self.patience_seconds if timeout is None else timeout)
        except OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # The server is still at it, so that nothing else could be asked on this connection.
                self.pgconn.finish()
            raise


def bound_waits(engine: Engine, seconds: float) -> None:
    """Makes the engine's connections wait for so long at most."""

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> BoundedConnection:
        connection = BoundedConnection.connect(*arguments, **options)
        connection.patience_seconds = seconds
        return connection

    event.listen(engine, "do_connect", connect)


def wait_without_end(driver_connection: Any) -> None:
    """For migrations: what they wait for may take long."""
    if isinstance(driver_connection, BoundedConnection):
        driver_connection.patience_seconds = None
