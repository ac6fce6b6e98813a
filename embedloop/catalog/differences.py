"""How a candidate's answers differ from those of the version that served, in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from embedloop.catalog.database import now
from embedloop.catalog.dialect import insert_or_update
from embedloop.catalog.tables import differences
from embedloop.errors import NotFound
from embedloop.records.versions import Difference


def put(connection: Connection, index_version_id: str, *, against: str, report: Mapping[str, Any]) -> None:
    """Keeps the report of a candidate; a later one of the same candidate replaces it."""
    row = {
        "index_version_id": index_version_id,
        "against": against,
        "report": dict(report),
        "created_at": now(),
    }
    insert_or_update(connection, differences, [row])


def get(connection: Connection, index_version_id: str) -> Difference:
    """Raises NotFound when nothing was compared."""
    statement = select(differences).where(differences.c.index_version_id == index_version_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"index version {index_version_id!r} was compared with none", field="index_version")
    return Difference(**row)
