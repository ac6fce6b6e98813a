"""Promotions under way and what each replica holds, in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from embedloop.catalog.database import clock, now
from embedloop.catalog.dialect import insert_or_update
from embedloop.catalog.tables import promotions, replicas
from embedloop.errors import Conflict, PromotionRefused
from embedloop.records.service import Replica

DEADLINE_PASSED = "its deadline passed"


@dataclass(frozen=True, slots=True)
class Preparing:
    """A promotion that waits for the replicas."""

    promotion_id: str
    corpus: str
    candidate: str
    token: int


def open_promotion(
    connection: Connection,
    *,
    promotion_id: str,
    corpus: str,
    candidate: str,
    replaces: str | None,
    token: int,
    timeout_seconds: float,
    actor: str,
) -> None:
    """Starts preparing. Raises Conflict, naming the other candidate, while another promotion prepares."""
    call_off_expired(connection)
    other = preparing(connection).get(corpus)
    if other is not None:
        raise Conflict(f"the promotion of {other.candidate} is under way on corpus {corpus!r}", field="corpus")
    try:
        connection.execute(
            insert(promotions).values(
                promotion_id=promotion_id,
                corpus=corpus,
                candidate=candidate,
                replaces=replaces,
                state="preparing",
                token=token,
                deadline=clock() + timeout_seconds,
                actor=actor,
                created_at=now(),
            )
        )
    except IntegrityError as error:
        raise Conflict(f"another promotion has begun on corpus {corpus!r}", field="corpus") from error


def preparing(connection: Connection) -> dict[str, Preparing]:
    """The promotion that prepares, by corpus."""
    statement = select(promotions).where(promotions.c.state == "preparing", promotions.c.deadline > clock())
    return {
        row.corpus: Preparing(row.promotion_id, row.corpus, row.candidate, row.token)
        for row in connection.execute(statement)
    }


def publish(connection: Connection, promotion_id: str) -> None:
    """Ends preparing because the candidate takes over.

    Raises:
        PromotionRefused: it was called off meanwhile, or its deadline has passed and the replicas may have let
            the candidate go.
    """
    statement = (
        update(promotions)
        .where(
            promotions.c.promotion_id == promotion_id,
            promotions.c.state == "preparing",
            promotions.c.deadline > clock(),
        )
        .values(state="published")
    )
    if connection.execute(statement).rowcount != 1:
        told = select(promotions.c.reason).where(promotions.c.promotion_id == promotion_id)
        reason = connection.execute(told).scalar_one_or_none() or DEADLINE_PASSED
        raise PromotionRefused(f"promotion {promotion_id} was called off: {reason}")


def call_off(connection: Connection, promotion_id: str, reason: str) -> None:
    """Ends preparing without the candidate; nothing happens when it has ended already."""
    _call_off(connection, reason, promotions.c.promotion_id == promotion_id)


def call_off_of(connection: Connection, corpus: str, actor: str, reason: str) -> None:
    """Ends what this actor left in preparing, say, when its process was killed."""
    _call_off(connection, reason, promotions.c.corpus == corpus, promotions.c.actor == actor)


def call_off_expired(connection: Connection) -> None:
    """Ends promotions whose process died while preparing."""
    _call_off(connection, DEADLINE_PASSED, promotions.c.deadline <= clock())


def _call_off(connection: Connection, reason: str, *where: ColumnElement[bool]) -> None:
    connection.execute(
        update(promotions)
        .where(promotions.c.state == "preparing", *where)
        .values(state="called_off", reason=reason)
    )


def hold(
    connection: Connection,
    replica_id: str,
    corpus: str,
    *,
    serving: str | None,
    prepared: str | None,
    lease_seconds: float,
) -> None:
    """Writes what a replica holds and renews its lease."""
    row = {
        "replica_id": replica_id,
        "corpus": corpus,
        "serving": serving,
        "prepared": prepared,
        "seen_at": clock(),
        "expires_at": clock() + lease_seconds,
    }
    insert_or_update(connection, replicas, [row])


def holders(connection: Connection, corpus: str) -> list[Replica]:
    """Replicas whose lease runs: each may still answer from what it holds."""
    return _replicas(connection, replicas.c.corpus == corpus, replicas.c.expires_at > clock())


def heard(connection: Connection, corpus: str, within_seconds: float) -> list[Replica]:
    """Replicas that wrote lately: those that a promotion waits for."""
    return _replicas(connection, replicas.c.corpus == corpus, replicas.c.seen_at > clock() - within_seconds)


def _replicas(connection: Connection, *where: ColumnElement[bool]) -> list[Replica]:
    return [
        Replica(
            row.replica_id, row.corpus, row.serving, row.prepared, datetime.fromtimestamp(row.expires_at, UTC)
        )
        for row in connection.execute(select(replicas).where(*where))
    ]


def leave(connection: Connection, replica_id: str) -> None:
    """A replica that stops cleanly gives its leases back."""
    connection.execute(delete(replicas).where(replicas.c.replica_id == replica_id))


def forget_expired(connection: Connection) -> None:
    connection.execute(delete(replicas).where(replicas.c.expires_at < clock() - 3600))
