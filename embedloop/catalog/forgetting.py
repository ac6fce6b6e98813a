"""Deletes from the catalog what a removal names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table, delete, exists, select, tuple_, update

from embedloop.catalog.feedback import locked
from embedloop.catalog.label_tables import feedback, imported_pairs, judgments, queries, retrievals
from embedloop.records.labels import JudgmentSource
from embedloop.slices import slices
from embedloop.text.normalise import query_key

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


def forget_feedback(connection: Connection, feedback_ids: Sequence[str]) -> Mapping[str, int]:
    """Deletes feedback, and the judgments that were made of it; says how many of each.

    The feedback is locked first: who makes judgments of it at this moment has stored them before these are
    looked for, or finds the feedback gone.
    """
    there = locked(connection, feedback_ids)
    labels = _made_of(connection, there)
    connection.execute(delete(feedback).where(feedback.c.feedback_id.in_(there)))
    named = tuple_(judgments.c.corpus, judgments.c.query_key, judgments.c.document_id, judgments.c.source)
    connection.execute(delete(judgments).where(named.in_(labels)))
    return {"feedback": len(there), "judgments": len(labels)}


def _made_of(connection: Connection, feedback_ids: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Keys of the judgments among whose sources one of these is."""
    given = (
        select(feedback.c.corpus, retrievals.c.query, feedback.c.document_id)
        .join(retrievals, retrievals.c.retrieval_id == feedback.c.retrieval_id)
        .where(feedback.c.feedback_id.in_(feedback_ids), feedback.c.document_id.is_not(None))
    )
    about = {(row.corpus, query_key(row.query), row.document_id) for row in connection.execute(given)}
    key = (judgments.c.corpus, judgments.c.query_key, judgments.c.document_id)
    statement = select(*key, judgments.c.source, judgments.c.sources).where(
        tuple_(*key).in_(sorted(about)), judgments.c.source.in_(_AGGREGATED)
    )
    sought = set(feedback_ids)
    return [tuple(row[:4]) for row in connection.execute(statement) if not sought.isdisjoint(row.sources)]


def forget_retrievals(connection: Connection, retrieval_ids: Sequence[str]) -> Mapping[str, int]:
    """Deletes searches, and the text of their queries where nothing is judged on it; says how many of each."""
    asked = select(retrievals.c.corpus, retrievals.c.query).where(retrievals.c.retrieval_id.in_(retrieval_ids))
    keys = {(row.corpus, query_key(row.query)) for row in connection.execute(asked)}
    blanked = _blank_queries(connection, sorted(keys))
    gone = delete(retrievals).where(retrievals.c.retrieval_id.in_(retrieval_ids))
    return {"retrievals": connection.execute(gone).rowcount, "queries": blanked}


def delete_judgments_on(connection: Connection, corpus: str, document_id: str) -> int:
    statement = delete(judgments).where(judgments.c.corpus == corpus, judgments.c.document_id == document_id)
    return connection.execute(statement).rowcount


def delete_texts(connection: Connection, corpus: str, text_keys: Sequence[str]) -> int:
    statement = delete(imported_pairs).where(
        imported_pairs.c.corpus == corpus, imported_pairs.c.text_key.in_(text_keys)
    )
    return connection.execute(statement).rowcount


def _blank_queries(connection: Connection, keys: Sequence[tuple[str, str]]) -> int:
    """Empties the text of queries on which nothing is judged any more; their split stays for ever."""
    judged = exists().where(
        judgments.c.corpus == queries.c.corpus, judgments.c.query_key == queries.c.query_key
    )
    labelled = exists().where(
        imported_pairs.c.corpus == queries.c.corpus, imported_pairs.c.query_key == queries.c.query_key
    )
    statement = (
        update(queries)
        .where(
            tuple_(queries.c.corpus, queries.c.query_key).in_(keys), queries.c.query != "", ~judged, ~labelled
        )
        .values(query="")
    )
    return connection.execute(statement).rowcount


def _ids(
    connection: Connection, table: Table, key: str, column: str, values: Sequence[str], corpus: str | None
) -> list[str]:
    found: list[str] = []
    for part in slices(values, ROWS_PER_STATEMENT):
        statement = select(table.c[key]).where(table.c[column].in_(part))
        if corpus is not None:
            statement = statement.where(table.c.corpus == corpus)
        found += connection.execute(statement).scalars()
    return found
