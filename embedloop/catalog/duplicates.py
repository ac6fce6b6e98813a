"""The keys of near duplicates in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from embedloop.catalog.tables import documents, near_duplicate_keys
from embedloop.slices import slices

KEYS_PER_STATEMENT = 500
ROWS_PER_STATEMENT = 500


def replace(connection: Connection, corpus: str, keys: Mapping[str, Sequence[str]]) -> None:
    """Sets the keys of documents; what they had before goes."""
    for document_id in keys:
        forget(connection, corpus, document_id)
    rows = [
        {"corpus": corpus, "key": key, "document_id": document_id}
        for document_id, named in keys.items()
        for key in named
    ]
    for part in slices(rows, ROWS_PER_STATEMENT):
        connection.execute(insert(near_duplicate_keys), part)


def forget(connection: Connection, corpus: str, document_id: str) -> None:
    table = near_duplicate_keys
    connection.execute(delete(table).where(table.c.corpus == corpus, table.c.document_id == document_id))


def sharing(connection: Connection, corpus: str, keys: Collection[str]) -> dict[str, list[str]]:
    """Live documents by the keys among these that they have: key -> ids, in order of id."""
    table = near_duplicate_keys
    live = (documents.c.corpus == table.c.corpus) & (documents.c.document_id == table.c.document_id)
    found: dict[str, list[str]] = {}
    for part in slices(sorted(keys), KEYS_PER_STATEMENT):
        statement = (
            select(table.c.key, table.c.document_id)
            .join(documents, live)
            .where(table.c.corpus == corpus, table.c.key.in_(part), documents.c.live)
            .order_by(table.c.document_id)
        )
        for key, document_id in connection.execute(statement):
            found.setdefault(key, []).append(document_id)
    return found
