"""Corpora in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from embedloop.catalog.database import now
from embedloop.catalog.tables import corpora, documents
from embedloop.errors import Conflict, NotFound
from embedloop.policy import Policy
from embedloop.records.documents import Corpus


def add(connection: Connection, name: str, policy: Policy) -> None:
    """Raises Conflict when the name is taken."""
    try:
        connection.execute(
            insert(corpora).values(name=name, policy=policy.model_dump(mode="json"), created_at=now())
        )
    except IntegrityError as error:
        raise Conflict(f"corpus {name!r} exists already", field="name") from error


def get(connection: Connection, name: str, *, lock: bool = False) -> Corpus:
    """A corpus; with `lock` nobody else changes its row until the transaction ends. Raises NotFound."""
    statement = select(corpora).where(corpora.c.name == name)
    if lock:
        # Not the key: documents are written to the corpus meanwhile.
        statement = statement.with_for_update(key_share=True)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"there is no corpus {name!r}", field="corpus")
    return _corpus(row)


def every(connection: Connection) -> list[Corpus]:
    rows = connection.execute(select(corpora).order_by(corpora.c.name)).mappings()
    return [_corpus(row) for row in rows]


def set_policy(connection: Connection, name: str, policy: Policy) -> None:
    connection.execute(
        update(corpora).where(corpora.c.name == name).values(policy=policy.model_dump(mode="json"))
    )


def remove(connection: Connection, name: str) -> None:
    connection.execute(delete(corpora).where(corpora.c.name == name))


def live_documents(connection: Connection, name: str) -> int:
    statement = select(func.count()).where(documents.c.corpus == name, documents.c.live)
    return int(connection.execute(statement).scalar_one())


def set_serving(connection: Connection, name: str, serving: str | None, previous: str | None) -> None:
    connection.execute(update(corpora).where(corpora.c.name == name).values(serving=serving, previous=previous))


def next_promotion_token(connection: Connection, name: str) -> int:
    """Fences promotions: a greater token is younger."""
    statement = (
        update(corpora)
        .where(corpora.c.name == name)
        .values(promotion_token=corpora.c.promotion_token + 1)
        .returning(corpora.c.promotion_token)
    )
    return int(connection.execute(statement).scalar_one())


def promotion_token(connection: Connection, name: str) -> int:
    statement = select(corpora.c.promotion_token).where(corpora.c.name == name)
    return int(connection.execute(statement).scalar_one())


def feedback_watermark(connection: Connection, name: str) -> datetime | None:
    """The time up to which feedback has been used by a cycle."""
    statement = select(corpora.c.feedback_watermark).where(corpora.c.name == name)
    watermark: datetime | None = connection.execute(statement).scalar_one()
    return watermark


def set_feedback_watermark(connection: Connection, name: str, at: datetime) -> None:
    connection.execute(update(corpora).where(corpora.c.name == name).values(feedback_watermark=at))


def _corpus(row: RowMapping) -> Corpus:
    # A newer process may have stored a setting that this one does not know yet.
    policy: dict[str, Any] = row["policy"]
    return Corpus(
        name=row["name"],
        policy=Policy.model_validate(policy, extra="ignore"),
        serving=row["serving"],
        previous=row["previous"],
        created_at=row["created_at"],
    )
