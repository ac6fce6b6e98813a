"""Documents and the change log in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from embedloop.catalog.database import Database, lock_change_log, now
from embedloop.catalog.dialect import insert_or_update, is_one_of, list_parameter, parameter
from embedloop.catalog.tables import changes, documents
from embedloop.records.documents import Change, Document, NewDocument, Op
from embedloop.slices import slices

IDS_PER_STATEMENT = 500


def append_changes(connection: Connection, corpus: str, rows: Sequence[tuple[str, Op, str]]) -> list[int]:
    """Appends (document id, operation, content hash) to the change log, in this order and in one statement.

    Returns:
        The new `seq` of each row; they grow in commit order.
    """
    if not rows:
        return []
    lock_change_log(connection)
    at = now()
    statement = insert(changes).returning(changes.c.seq, sort_by_parameter_order=True)
    values = [
        {"corpus": corpus, "document_id": document_id, "op": op.value, "content_hash": content_hash, "at": at}
        for document_id, op, content_hash in rows
    ]
    return [int(seq) for seq in connection.execute(statement, values).scalars()]


def store(connection: Connection, corpus: str, rows: Sequence[tuple[NewDocument, int, str]]) -> None:
    """Writes (document, rev, content hash); of several with one id the last one stays."""
    at = now()
    values = [
        {
            "corpus": corpus,
            "document_id": document.document_id,
            "rev": rev,
            "live": True,
            "title": document.title,
            "text": document.text,
            "metadata": dict(document.metadata),
            "content_hash": content_hash,
            "updated_at": at,
        }
        for document, rev, content_hash in rows
    ]
    insert_or_update(connection, documents, values)


def bury(connection: Connection, corpus: str, document_id: str, rev: int) -> None:
    """Leaves a tombstone: the id and its last rev stay, the content goes."""
    connection.execute(
        update(documents)
        .where(documents.c.corpus == corpus, documents.c.document_id == document_id)
        .values(rev=rev, live=False, title="", text="", metadata={}, content_hash="", updated_at=now())
    )


def hashes(connection: Connection, corpus: str, document_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Live documents among the ids: id -> (rev, content hash)."""
    found: dict[str, tuple[int, str]] = {}
    for part in slices(document_ids, IDS_PER_STATEMENT):
        rows = connection.execute(
            select(documents.c.document_id, documents.c.rev, documents.c.content_hash).where(
                documents.c.corpus == corpus, documents.c.document_id.in_(part), documents.c.live
            )
        )
        found.update({row.document_id: (row.rev, row.content_hash) for row in rows})
    return found


def live_revs(connection: Connection, corpus: str, document_ids: Collection[str]) -> dict[str, int]:
    """The catalog's last word: id -> rev of the live documents among the ids."""
    found: dict[str, int] = {}
    for part in slices(list(document_ids), IDS_PER_STATEMENT):
        rows = connection.execute(
            select(documents.c.document_id, documents.c.rev).where(
                documents.c.corpus == corpus, documents.c.document_id.in_(part), documents.c.live
            )
        )
        for document_id, rev in rows:
            found[document_id] = rev
    return found


def look_up_live_revs(database: Database, corpus: str, document_ids: Collection[str]) -> dict[str, int]:
    """`live_revs` for the search path: one plain statement, without a transaction.

    Raises:
        Unavailable: the catalog does not answer.
    """
    dialect = database.engine.dialect.name
    mark, wanted = parameter(dialect), is_one_of(dialect, "document_id")
    rows = database.lookup(
        f"SELECT document_id, rev FROM documents WHERE corpus = {mark} AND live AND {wanted}",
        [corpus, list_parameter(dialect, list(document_ids))],
    )
    return {document_id: int(rev) for document_id, rev in rows}


def get_many(connection: Connection, corpus: str, document_ids: Sequence[str]) -> dict[str, Document]:
    """The live documents among the ids."""
    found: dict[str, Document] = {}
    for part in slices(document_ids, IDS_PER_STATEMENT):
        statement = select(documents).where(
            documents.c.corpus == corpus, documents.c.document_id.in_(part), documents.c.live
        )
        for row in connection.execute(statement).mappings():
            found[row["document_id"]] = _document(row)
    return found


def lengths_and_metadata(
    connection: Connection, corpus: str, document_ids: Sequence[str]
) -> dict[str, tuple[int, Mapping[str, Any]]]:
    """Id -> characters of the text, and metadata, of the live documents among the ids."""
    columns = (documents.c.document_id, func.length(documents.c.text).label("length"), documents.c.metadata)
    found: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for part in slices(document_ids, IDS_PER_STATEMENT):
        statement = select(*columns).where(
            documents.c.corpus == corpus, documents.c.document_id.in_(part), documents.c.live
        )
        found |= {id: (length, metadata) for id, length, metadata in connection.execute(statement)}
    return found


def ids_in_range(connection: Connection, corpus: str, first: str, last: str) -> list[str]:
    """The live ids in [first, last], in their order."""
    statement = (
        select(documents.c.document_id)
        .where(
            documents.c.corpus == corpus,
            documents.c.document_id >= first,
            documents.c.document_id <= last,
            documents.c.live,
        )
        .order_by(documents.c.document_id)
    )
    return list(connection.execute(statement).scalars())


def lengths_after(connection: Connection, corpus: str, after: str, limit: int) -> list[tuple[str, int]]:
    """The next live ids after `after` with their text lengths in characters, in order of id."""
    statement = (
        select(documents.c.document_id, func.length(documents.c.title) + func.length(documents.c.text))
        .where(documents.c.corpus == corpus, documents.c.document_id > after, documents.c.live)
        .order_by(documents.c.document_id)
        .limit(limit)
    )
    return [(row[0], int(row[1])) for row in connection.execute(statement)]


def sample(connection: Connection, corpus: str, size: int) -> list[Document]:
    """The first live documents in order of id: real texts to try an encoder on."""
    statement = (
        select(documents)
        .where(documents.c.corpus == corpus, documents.c.live)
        .order_by(documents.c.document_id)
        .limit(size)
    )
    return [_document(row) for row in connection.execute(statement).mappings()]


def spread(connection: Connection, corpus: str, size: int) -> list[str]:
    """At most `size` live ids, spread evenly over their order; memory does not grow with the corpus."""
    live = (documents.c.corpus == corpus, documents.c.live)
    count = int(connection.execute(select(func.count()).select_from(documents).where(*live)).scalar_one())
    statement = select(documents.c.document_id).where(*live).order_by(documents.c.document_id)
    step = max(1, count // size)
    with connection.execute(statement.execution_options(yield_per=1000)) as rows:
        return list(islice(rows.scalars(), 0, size * step, step))


def live_ids(connection: Connection, corpus: str) -> list[str]:
    statement = (
        select(documents.c.document_id)
        .where(documents.c.corpus == corpus, documents.c.live)
        .order_by(documents.c.document_id)
    )
    return list(connection.execute(statement).scalars())


def head(connection: Connection, corpus: str) -> int:
    """The greatest `seq` of the corpus, 0 for an empty log."""
    statement = select(func.max(changes.c.seq)).where(changes.c.corpus == corpus)
    return int(connection.execute(statement).scalar_one() or 0)


def changes_after(connection: Connection, corpus: str, seq: int, limit: int) -> list[Change]:
    statement = (
        select(changes.c.seq, changes.c.corpus, changes.c.document_id, changes.c.op)
        .where(changes.c.corpus == corpus, changes.c.seq > seq)
        .order_by(changes.c.seq)
        .limit(limit)
    )
    return [Change(row.seq, row.corpus, row.document_id, Op(row.op)) for row in connection.execute(statement)]


def changed_after(connection: Connection, corpus: str, seq: int) -> set[str]:
    """Ids of the documents with a change after `seq`."""
    statement = select(changes.c.document_id).distinct().where(changes.c.corpus == corpus, changes.c.seq > seq)
    return set(connection.execute(statement).scalars())


def _document(row: RowMapping) -> Document:
    return Document(
        corpus=row["corpus"],
        document_id=row["document_id"],
        title=row["title"],
        text=row["text"],
        metadata=row["metadata"],
        rev=row["rev"],
    )
