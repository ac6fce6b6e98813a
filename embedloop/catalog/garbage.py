"""Which collections in Milvus are this catalog's own, and those that wait to be dropped."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from embedloop.catalog.database import clock, now
from embedloop.catalog.dialect import insert_or_ignore
from embedloop.catalog.jobs import UNENDED
from embedloop.catalog.tables import deployment, garbage, index_versions, jobs
from embedloop.records.jobs import JobKind

COLLECTION_PREFIX = "elv_"
_ONE = 1


def own_prefix(connection: Connection) -> str:
    """What the names of this catalog's collections begin with; drawn when it is first asked for.

    Several deployments may share one Milvus: each knows its own collections by their names alone.
    """
    drawn = {"one": _ONE, "deployment_id": secrets.token_hex(5), "created_at": now()}
    insert_or_ignore(connection, deployment, [drawn])
    identity = connection.execute(select(deployment.c.deployment_id)).scalar_one()
    return f"{COLLECTION_PREFIX}{identity}_"


def in_use(connection: Connection) -> set[str]:
    """The collections of every index version that has not been dropped, and of every trial that goes on."""
    statement = select(index_versions.c.collection).where(index_versions.c.dropped_at.is_(None))
    return set(connection.execute(statement).scalars()) | _scratch(connection)


def _scratch(connection: Connection) -> set[str]:
    statement = select(jobs.c.checkpoint).where(
        jobs.c.kind == JobKind.INDEX_TRIAL.value, jobs.c.state.in_(UNENDED)
    )
    checkpoints = connection.execute(statement).scalars()
    return {checkpoint["scratch"] for checkpoint in checkpoints if checkpoint.get("scratch")}


def doom(connection: Connection, collections: Iterable[str], *, after_seconds: float) -> None:
    """Notes collections to be dropped; one that was noted before keeps its time."""
    due_at = clock() + after_seconds
    insert_or_ignore(connection, garbage, [{"collection": c, "due_at": due_at} for c in sorted(collections)])


def doomed(connection: Connection) -> set[str]:
    return set(connection.execute(select(garbage.c.collection)).scalars())


def due(connection: Connection) -> list[str]:
    """Those whose time has come."""
    statement = select(garbage.c.collection).where(garbage.c.due_at <= clock()).order_by(garbage.c.collection)
    return list(connection.execute(statement).scalars())


def forget(connection: Connection, collections: Iterable[str]) -> None:
    """They are gone, or in use after all."""
    for collection in collections:
        connection.execute(delete(garbage).where(garbage.c.collection == collection))
