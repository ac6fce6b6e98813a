"""Removals, and the marks by which removed data is known again, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select, update

from embedloop.catalog.database import now
from embedloop.catalog.dialect import insert_or_ignore
from embedloop.catalog.label_tables import removal_marks, removals
from embedloop.catalog.tables import documents
from embedloop.records.training import Removal
from embedloop.removed import Removed

PERSON, DOCUMENT, TEXT, CONTENT = "person", "document", "text", "content"


def begin(connection: Connection, removal: Removal, marks: Collection[tuple[str, str]]) -> None:
    """Stores a removal with its marks (kind, mark); again it adds marks, and is to be settled again."""
    row = {
        "removal_id": removal.removal_id,
        "kind": removal.kind,
        "corpus": removal.corpus,
        "removed": dict(removal.removed),
        "created_at": removal.created_at,
        "updated_at": removal.updated_at,
    }
    insert_or_ignore(connection, removals, [row])
    connection.execute(
        update(removals)
        .where(removals.c.removal_id == removal.removal_id)
        .values(updated_at=removal.updated_at, settled_at=None)
    )
    rows = [{"removal_id": removal.removal_id, "kind": kind, "mark": mark} for kind, mark in marks]
    insert_or_ignore(connection, removal_marks, rows)


def count(connection: Connection, removal_id: str, removed: Mapping[str, int]) -> None:
    """Adds to what a removal has removed so far; of what there was none, nothing is told."""
    known = get(connection, removal_id, lock=True)
    before = {} if known is None else known.removed
    total = {**before, **{name: before.get(name, 0) + number for name, number in removed.items() if number}}
    connection.execute(update(removals).where(removals.c.removal_id == removal_id).values(removed=total))


def get(connection: Connection, removal_id: str, *, lock: bool = False) -> Removal | None:
    statement = select(removals).where(removals.c.removal_id == removal_id)
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().first()
    return None if row is None else _removal(row)


def unsettled(connection: Connection, before: datetime) -> list[Removal]:
    """Those that were asked for before this moment and not looked after since, the oldest first."""
    statement = (
        select(removals)
        .where(removals.c.settled_at.is_(None), removals.c.updated_at <= before)
        .order_by(removals.c.updated_at, removals.c.removal_id)
    )
    return [_removal(row) for row in connection.execute(statement).mappings()]


def settle(connection: Connection, removal: Removal) -> None:
    """Says that it was looked after, unless it was asked for again meanwhile."""
    connection.execute(
        update(removals)
        .where(removals.c.removal_id == removal.removal_id, removals.c.updated_at == removal.updated_at)
        .values(settled_at=now())
    )


def every(connection: Connection) -> list[Removal]:
    """The newest first."""
    statement = select(removals).order_by(removals.c.created_at.desc(), removals.c.removal_id)
    return [_removal(row) for row in connection.execute(statement).mappings()]


def marks_of(connection: Connection, removal_id: str) -> list[tuple[str, str]]:
    statement = select(removal_marks.c.kind, removal_marks.c.mark).where(
        removal_marks.c.removal_id == removal_id
    )
    return [(row.kind, row.mark) for row in connection.execute(statement)]


def marks(connection: Connection, corpus: str) -> Removed:
    """All that was removed from a corpus' training, with documents that now have a removed one's content."""
    statement = (
        select(removal_marks.c.kind, removal_marks.c.mark)
        .join(removals, removals.c.removal_id == removal_marks.c.removal_id)
        .where((removals.c.corpus == corpus) | removals.c.corpus.is_(None))
    )
    found: dict[str, set[str]] = {PERSON: set(), DOCUMENT: set(), TEXT: set(), CONTENT: set()}
    for kind, mark in connection.execute(statement):
        found[kind].add(mark)
    copies = _with_content(connection, corpus, sorted(found[CONTENT]))
    return Removed(
        persons=frozenset(found[PERSON]),
        documents=frozenset({*found[DOCUMENT], *copies}),
        texts=frozenset(found[TEXT]),
    )


def _with_content(connection: Connection, corpus: str, hashes: Sequence[str]) -> set[str]:
    if not hashes:
        return set()
    statement = select(documents.c.document_id).where(
        documents.c.corpus == corpus, documents.c.live, documents.c.content_hash.in_(hashes)
    )
    return set(connection.execute(statement).scalars())


def _removal(row: RowMapping) -> Removal:
    return Removal(
        removal_id=row["removal_id"],
        kind=row["kind"],
        corpus=row["corpus"],
        removed=row["removed"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        settled_at=row["settled_at"],
    )
