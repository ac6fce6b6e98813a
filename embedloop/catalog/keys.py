"""API keys in SQL: only their hashes are stored."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from embedloop.catalog.database import now
from embedloop.catalog.tables import api_keys
from embedloop.records.service import ApiKey


def add(
    connection: Connection,
    *,
    key_id: str,
    key_hash: str,
    label: str,
    role: str,
    corpora: Sequence[str] | None,
) -> None:
    connection.execute(
        insert(api_keys).values(
            key_id=key_id,
            key_hash=key_hash,
            label=label,
            role=role,
            corpora=None if corpora is None else list(corpora),
            created_at=now(),
        )
    )


def by_hash(connection: Connection, key_hash: str) -> ApiKey | None:
    row = connection.execute(select(api_keys).where(api_keys.c.key_hash == key_hash)).first()
    if row is None:
        return None
    return ApiKey(row.key_id, row.label, row.role, row.corpora, row.created_at)


def count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(api_keys)).scalar_one())
