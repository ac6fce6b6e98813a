"""Shards of a re-embed in SQL: claimed with a lease and a fencing token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from embedloop.catalog.database import clock
from embedloop.catalog.dialect import not_held
from embedloop.catalog.tables import shards
from embedloop.errors import LeaseLost
from embedloop.records.versions import Shard


@dataclass(frozen=True, slots=True)
class ShardCounts:
    total: int
    done: int
    failed: int
    passages: int


def add(connection: Connection, index_version_id: str, job_id: str, ranges: Sequence[tuple[str, str]]) -> None:
    rows = [
        {
            "index_version_id": index_version_id,
            "job_id": job_id,
            "first_document_id": first,
            "last_document_id": last,
            "state": "queued",
        }
        for first, last in ranges
    ]
    if rows:
        connection.execute(insert(shards), rows)


def claim(connection: Connection, shard_id: int, lease_seconds: float) -> Shard | None:
    """Takes the shard; None when it is done, failed, or leased to another worker."""
    statement = (
        update(shards)
        .where(shards.c.shard_id == shard_id, shards.c.state == "queued", shards.c.lease_until < clock())
        .values(token=shards.c.token + 1, attempts=shards.c.attempts + 1, lease_until=clock() + lease_seconds)
        .returning(*shards.c)
    )
    row = connection.execute(statement).mappings().first()
    if row is None:
        return None
    return Shard(
        shard_id=row["shard_id"],
        index_version_id=row["index_version_id"],
        job_id=row["job_id"],
        first_document_id=row["first_document_id"],
        last_document_id=row["last_document_id"],
        token=row["token"],
        attempts=row["attempts"],
    )


def renew(connection: Connection, shard: Shard, lease_seconds: float) -> None:
    """Raises LeaseLost when another worker has the shard now."""
    _change(connection, shard, lease_until=clock() + lease_seconds)


def finish(connection: Connection, shard: Shard, passages: int) -> None:
    """Raises LeaseLost when another worker has the shard now."""
    _change(connection, shard, state="done", passages=passages, lease_until=0, error=None)


def give_back(
    connection: Connection, shard: Shard, error: str, *, failed: bool, retry_seconds: float = 0.0
) -> None:
    """Puts the shard back into the queue for `retry_seconds` from now, or marks it failed. Raises LeaseLost."""
    if failed:
        _change(connection, shard, state="failed", lease_until=0, error=error[:2000])
    else:
        # A lease that nobody holds: it is sent again when that has run out.
        _change(connection, shard, lease_until=clock() + retry_seconds, error=error[:2000])


def hand_back(connection: Connection, shard: Shard) -> None:
    """Puts a shard that was interrupted back as it was before its claim, to be sent next. Raises LeaseLost."""
    _change(connection, shard, lease_until=0, sent_at=0, attempts=shard.attempts - 1)


def wait(connection: Connection, shard: Shard, error: str, seconds: float) -> None:
    """Puts a shard back for `seconds` untried, as what it needs is away. Raises LeaseLost."""
    until = clock() + seconds
    _change(connection, shard, lease_until=until, attempts=shard.attempts - 1, error=error[:2000])


def counts(connection: Connection, index_version_id: str) -> ShardCounts:
    statement = (
        select(shards.c.state, func.count(), func.sum(shards.c.passages))
        .where(shards.c.index_version_id == index_version_id)
        .group_by(shards.c.state)
    )
    by_state = {row[0]: (int(row[1]), int(row[2] or 0)) for row in connection.execute(statement)}
    return ShardCounts(
        total=sum(n for n, _ in by_state.values()),
        done=by_state.get("done", (0, 0))[0],
        failed=by_state.get("failed", (0, 0))[0],
        passages=sum(p for _, p in by_state.values()),
    )


def is_at_work(connection: Connection, index_version_id: str) -> bool:
    """Whether a worker holds a shard of this version, or one waits for its next attempt."""
    statement = select(shards.c.shard_id).where(
        shards.c.index_version_id == index_version_id,
        shards.c.state == "queued",
        shards.c.lease_until > clock(),
    )
    return connection.execute(statement.limit(1)).first() is not None


def take_unsent(connection: Connection, index_version_id: str, resend_seconds: float) -> list[int]:
    """Shards to send now, marked as sent.

    Those are the ones never sent, those whose worker's lease has run out, and those sent so long ago that the
    broker may have lost them; a shard sent twice is embedded once, for its claim is refused the second time.
    """
    expired = and_(shards.c.lease_until > 0, shards.c.lease_until < clock())
    due = not_held(
        shards.c.shard_id,
        shards.c.index_version_id == index_version_id,
        shards.c.state == "queued",
        or_(shards.c.sent_at < clock() - resend_seconds, expired),
    )
    statement = (
        update(shards)
        .where(shards.c.shard_id.in_(due))
        .values(sent_at=clock(), lease_until=0)
        .returning(shards.c.shard_id)
    )
    return sorted(connection.execute(statement).scalars())


def put_back_unsent(connection: Connection, shard_ids: Sequence[int]) -> None:
    """Makes shards that were taken to be sent, and were not, the next ones to be sent."""
    connection.execute(update(shards).where(shards.c.shard_id.in_(shard_ids)).values(sent_at=0))


def errors(connection: Connection, index_version_id: str) -> list[str]:
    statement = select(shards.c.first_document_id, shards.c.last_document_id, shards.c.error).where(
        shards.c.index_version_id == index_version_id, shards.c.state == "failed"
    )
    return [f"documents {row[0]!r}..{row[1]!r}: {row[2]}" for row in connection.execute(statement)]


def _change(connection: Connection, shard: Shard, **values: object) -> None:
    statement = (
        update(shards)
        .where(shards.c.shard_id == shard.shard_id, shards.c.token == shard.token, shards.c.state == "queued")
        .values(**values)
    )
    if connection.execute(statement).rowcount != 1:
        raise LeaseLost(f"another worker holds shard {shard.shard_id}")
