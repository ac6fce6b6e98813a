"""Deletes from the catalog what a removal names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Table, delete, exists, select, tuple_, update

from embedloop.catalog.tables import feedback, imported_pairs, judgments, queries, retrievals
from embedloop.records import JudgmentSource
from embedloop.text.normalise import query_key

T = TypeVar("T")

ROWS_PER_STATEMENT = 400
_AGGREGATED = (JudgmentSource.FEEDBACK.value, JudgmentSource.CLICKS.value)


def persons(connection: Connection, corpus: str | None) -> set[str]:
    """Everybody whom a retrieval or feedback names, as key, slash, session."""
    found: set[str] = set()
    for table in (retrievals, feedback):
        statement = select(table.c.person).distinct()
        if corpus is not None:
            statement = statement.where(table.c.corpus == corpus)
        found.update(connection.execute(statement).scalars())
    return found


def feedback_of(connection: Connection, who: Sequence[str], corpus: str | None) -> list[str]:
    """Ids of the feedback that these persons gave."""
    return _ids(connection, feedback, "feedback_id", "person", who, corpus)


def retrievals_of(connection: Connection, who: Sequence[str], corpus: str | None) -> list[str]:
    """Ids of the searches that these persons made."""
    return _ids(connection, retrievals, "retrieval_id", "person", who, corpus)


def feedback_on(connection: Connection, corpus: str, document_id: str) -> list[str]:
    """Ids of the feedback that names a document."""
    return _ids(connection, feedback, "feedback_id", "document_id", [document_id], corpus)


def asked(connection: Connection, retrieval_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(corpus, query key) of these searches."""
    found: set[tuple[str, str]] = set()
    for part in parts(retrieval_ids):
        statement = select(retrievals.c.corpus, retrievals.c.query).where(retrievals.c.retrieval_id.in_(part))
        found.update((row.corpus, query_key(row.query)) for row in connection.execute(statement))
    return found


def delete_feedback(connection: Connection, feedback_ids: Sequence[str]) -> int:
    return connection.execute(delete(feedback).where(feedback.c.feedback_id.in_(feedback_ids))).rowcount


def delete_retrievals(connection: Connection, retrieval_ids: Sequence[str]) -> int:
    return connection.execute(delete(retrievals).where(retrievals.c.retrieval_id.in_(retrieval_ids))).rowcount


def judgments_from(
    connection: Connection, feedback_ids: Sequence[str], corpus: str | None
) -> list[tuple[str, str, str, str]]:
    """Keys of the aggregated judgments to which this feedback contributed."""
    sought = set(feedback_ids)
    keys = (judgments.c.corpus, judgments.c.query_key, judgments.c.document_id, judgments.c.source)
    statement = select(*keys, judgments.c.sources).where(judgments.c.source.in_(_AGGREGATED))
    if corpus is not None:
        statement = statement.where(judgments.c.corpus == corpus)
    return [tuple(row[:4]) for row in connection.execute(statement) if not sought.isdisjoint(row.sources)]


def delete_judgments(connection: Connection, keys: Sequence[tuple[str, str, str, str]]) -> int:
    named = tuple_(judgments.c.corpus, judgments.c.query_key, judgments.c.document_id, judgments.c.source)
    return connection.execute(delete(judgments).where(named.in_(keys))).rowcount


def delete_judgments_on(connection: Connection, corpus: str, document_id: str) -> int:
    statement = delete(judgments).where(judgments.c.corpus == corpus, judgments.c.document_id == document_id)
    return connection.execute(statement).rowcount


def delete_texts(connection: Connection, corpus: str, text_keys: Sequence[str]) -> int:
    statement = delete(imported_pairs).where(
        imported_pairs.c.corpus == corpus, imported_pairs.c.text_key.in_(text_keys)
    )
    return connection.execute(statement).rowcount


def blank_queries(connection: Connection, keys: Sequence[tuple[str, str]]) -> int:
    """Empties the text of queries on which nothing is judged any more; their split stays for ever."""
    judged = exists().where(
        judgments.c.corpus == queries.c.corpus, judgments.c.query_key == queries.c.query_key
    )
    labelled = exists().where(
        imported_pairs.c.corpus == queries.c.corpus, imported_pairs.c.query_key == queries.c.query_key
    )
    statement = (
        update(queries)
        .where(tuple_(queries.c.corpus, queries.c.query_key).in_(keys), ~judged, ~labelled)
        .values(query="")
    )
    return connection.execute(statement).rowcount


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), ROWS_PER_STATEMENT):
        yield values[start : start + ROWS_PER_STATEMENT]


def _ids(
    connection: Connection, table: Table, key: str, column: str, values: Sequence[str], corpus: str | None
) -> list[str]:
    found: list[str] = []
    for part in parts(values):
        statement = select(table.c[key]).where(table.c[column].in_(part))
        if corpus is not None:
            statement = statement.where(table.c.corpus == corpus)
        found += connection.execute(statement).scalars()
    return found
