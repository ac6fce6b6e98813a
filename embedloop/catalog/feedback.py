"""Retrievals, feedback, query splits and judgments in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, exists, func, select, update

from embedloop.catalog.database import now
from embedloop.catalog.dialect import insert_or_ignore, insert_or_update
from embedloop.catalog.label_tables import feedback, judgments, queries, retrievals
from embedloop.catalog.tables import documents
from embedloop.records.feedback import Feedback, Retrieval, Shown, Signal, Vote
from embedloop.records.labels import Judgment, JudgmentSource, Split
from embedloop.slices import slices
from embedloop.text.normalise import query_key

KEYS_PER_STATEMENT = 500


def log_retrievals(connection: Connection, logged: Sequence[Retrieval]) -> None:
    """Stores retrievals, each once however often it is replayed."""
    rows = [
        {
            "retrieval_id": r.retrieval_id,
            "corpus": r.corpus,
            "query": r.query,
            "person": r.person,
            "index_version_id": r.index_version_id,
            "model_id": r.model_id,
            "shown": [[s.rank, s.document_id, s.passage_id, s.score] for s in r.shown],
            "at": r.at,
        }
        for r in logged
    ]
    insert_or_ignore(connection, retrievals, rows)


def retrieval(connection: Connection, retrieval_id: str) -> Retrieval | None:
    statement = select(retrievals).where(retrievals.c.retrieval_id == retrieval_id)
    row = connection.execute(statement).mappings().first()
    return None if row is None else _retrieval(row)


def retrievals_of(connection: Connection, retrieval_ids: Sequence[str]) -> dict[str, Retrieval]:
    statement = select(retrievals).where(retrievals.c.retrieval_id.in_(retrieval_ids))
    return {row["retrieval_id"]: _retrieval(row) for row in connection.execute(statement).mappings()}


def shown_by(
    connection: Connection, corpus: str, index_version_id: str
) -> list[tuple[str, list[tuple[str, float]]]]:
    """What one index version answered, the oldest first: (query, [(document id, score)])."""
    statement = (
        select(retrievals.c.query, retrievals.c.shown)
        .where(retrievals.c.corpus == corpus, retrievals.c.index_version_id == index_version_id)
        .order_by(retrievals.c.at)
    )
    return [(row.query, [(s[1], s[3]) for s in row.shown]) for row in connection.execute(statement)]


def recent_queries(connection: Connection, corpus: str, limit: int) -> list[str]:
    """What was searched for, the latest first, as often as it was."""
    statement = (
        select(retrievals.c.query)
        .where(retrievals.c.corpus == corpus)
        .order_by(retrievals.c.at.desc(), retrievals.c.retrieval_id.desc())
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def add(connection: Connection, given: Feedback, passage_id: str | None) -> None:
    """Stores feedback; what is there already stays as it is."""
    row = {
        "feedback_id": given.feedback_id,
        "retrieval_id": given.retrieval_id,
        "corpus": given.corpus,
        "signal": given.signal.value,
        "document_id": given.document_id,
        "passage_id": passage_id,
        "person": given.person,
        "comment": given.comment,
        "pending": given.pending,
        "at": given.at,
    }
    insert_or_ignore(connection, feedback, [row])


def get(connection: Connection, feedback_id: str) -> Feedback | None:
    row = connection.execute(select(feedback).where(feedback.c.feedback_id == feedback_id)).mappings().first()
    return None if row is None else _feedback(row)


def locked(connection: Connection, feedback_ids: Collection[str]) -> list[str]:
    """Those that are there, in order of id; they stay as they are to the end of the transaction."""
    found: list[str] = []
    for part in slices(sorted(feedback_ids), KEYS_PER_STATEMENT):
        wanted = feedback.c.feedback_id.in_(part)
        # In one order, or two transactions wait for each other.
        statement = select(feedback.c.feedback_id).where(wanted).order_by(feedback.c.feedback_id)
        found += connection.execute(statement.with_for_update()).scalars()
    return found


def remove(connection: Connection, feedback_id: str) -> None:
    connection.execute(delete(feedback).where(feedback.c.feedback_id == feedback_id))


def pending(connection: Connection, limit: int = 500) -> list[tuple[Feedback, str | None]]:
    """Pending feedback whose retrieval has arrived, with the passage id that it names."""
    arrived = exists().where(retrievals.c.retrieval_id == feedback.c.retrieval_id)
    statement = select(feedback).where(feedback.c.pending, arrived).limit(limit)
    return [(_feedback(row), row["passage_id"]) for row in connection.execute(statement).mappings()]


def settle(connection: Connection, feedback_id: str, *, person: str, document_id: str | None) -> None:
    """Ends a pending state: the retrieval has arrived and did show the document."""
    connection.execute(
        update(feedback)
        .where(feedback.c.feedback_id == feedback_id)
        .values(pending=False, person=person, document_id=document_id)
    )


def count_since(connection: Connection, corpus: str, since: datetime | None) -> int:
    """Settled feedback given after `since`."""
    statement = select(func.count()).where(feedback.c.corpus == corpus, ~feedback.c.pending)
    if since is not None:
        statement = statement.where(feedback.c.at > since)
    return int(connection.execute(statement).scalar_one())


def votes(connection: Connection, corpus: str) -> list[Vote]:
    """All settled feedback that names a live document, with the query that it was given on."""
    statement = (
        select(feedback, retrievals.c.query, retrievals.c.shown)
        .join(retrievals, retrievals.c.retrieval_id == feedback.c.retrieval_id)
        .join(
            documents,
            and_(
                documents.c.corpus == feedback.c.corpus,
                documents.c.document_id == feedback.c.document_id,
                documents.c.live,
            ),
        )
        .where(feedback.c.corpus == corpus, ~feedback.c.pending)
        .order_by(feedback.c.at, feedback.c.feedback_id)
    )
    return [_vote(row) for row in connection.execute(statement).mappings()]


def newest_answers(
    connection: Connection, corpus: str, newest: int
) -> Iterator[tuple[str, str, Sequence[tuple[int, str]]]]:
    """The newest answers first: (retrieval id, query, [(rank, document id)]), read as they are needed."""
    statement = (
        select(retrievals.c.retrieval_id, retrievals.c.query, retrievals.c.shown)
        .where(retrievals.c.corpus == corpus)
        .order_by(retrievals.c.at.desc())
        .limit(newest)
        .execution_options(yield_per=KEYS_PER_STATEMENT)
    )
    for row in connection.execute(statement):
        yield row.retrieval_id, row.query, [(entry[0], entry[1]) for entry in row.shown]


def splits_of(connection: Connection, corpus: str, keys: Collection[str]) -> dict[str, Split]:
    """The splits fixed for these query keys."""
    found: dict[str, Split] = {}
    for part in slices(list(keys), KEYS_PER_STATEMENT):
        statement = select(queries.c.query_key, queries.c.split).where(
            queries.c.corpus == corpus, queries.c.query_key.in_(part)
        )
        found.update({row.query_key: Split(row.split) for row in connection.execute(statement)})
    return found


def fix_splits(connection: Connection, corpus: str, seen: Mapping[str, tuple[str, Split]]) -> None:
    """Gives query keys (key -> query, split) their split for ever; one that has a split keeps it."""
    rows = [
        {"corpus": corpus, "query_key": key, "query": query, "split": split.value, "created_at": now()}
        for key, (query, split) in seen.items()
    ]
    insert_or_ignore(connection, queries, rows)


def store_judgments(connection: Connection, corpus: str, judged: Sequence[Judgment]) -> None:
    """Stores judgments; one on the same query and document from the same source is replaced."""
    rows = {
        (query_key(j.query), j.document_id, j.source): {
            "corpus": corpus,
            "query_key": query_key(j.query),
            "document_id": j.document_id,
            "source": j.source,
            "grade": j.grade,
            "sources": list(j.sources),
            "at": now(),
        }
        for j in judged
    }
    insert_or_update(connection, judgments, list(rows.values()))


def replace_judgments(connection: Connection, corpus: str, source: str, judged: Sequence[Judgment]) -> None:
    """Makes `judged` all there is from this source: votes taken back take their judgments with them."""
    connection.execute(delete(judgments).where(judgments.c.corpus == corpus, judgments.c.source == source))
    store_judgments(connection, corpus, judged)


def judgments_of(connection: Connection, corpus: str, splits: Collection[Split]) -> list[Judgment]:
    """Judgments on live documents, in a fixed order.

    A golden query is never judged by clicks alone: what the gate measures is what people said.
    """
    measured_by_clicks = (queries.c.split == Split.GOLDEN.value) & (
        judgments.c.source == JudgmentSource.CLICKS.value
    )
    statement = (
        select(judgments, queries.c.query, queries.c.split)
        .join(
            queries,
            and_(queries.c.corpus == judgments.c.corpus, queries.c.query_key == judgments.c.query_key),
        )
        .join(
            documents,
            and_(
                documents.c.corpus == judgments.c.corpus,
                documents.c.document_id == judgments.c.document_id,
                documents.c.live,
            ),
        )
        .where(
            judgments.c.corpus == corpus,
            queries.c.split.in_([s.value for s in splits]),
            ~measured_by_clicks,
        )
        .order_by(judgments.c.query_key, judgments.c.document_id, judgments.c.source)
    )
    return [_judgment(row) for row in connection.execute(statement).mappings()]


def _retrieval(row: RowMapping) -> Retrieval:
    return Retrieval(
        retrieval_id=row["retrieval_id"],
        corpus=row["corpus"],
        query=row["query"],
        person=row["person"],
        index_version_id=row["index_version_id"],
        model_id=row["model_id"],
        shown=[Shown(*entry) for entry in row["shown"]],
        at=row["at"],
    )


def _feedback(row: RowMapping) -> Feedback:
    return Feedback(
        feedback_id=row["feedback_id"],
        retrieval_id=row["retrieval_id"],
        corpus=row["corpus"],
        signal=Signal(row["signal"]),
        document_id=row["document_id"],
        person=row["person"],
        comment=row["comment"],
        pending=row["pending"],
        at=row["at"],
    )


def _vote(row: RowMapping) -> Vote:
    shown: list[list[Any]] = row["shown"]
    ranks = [entry[0] for entry in shown if entry[1] == row["document_id"]]
    return Vote(
        feedback_id=row["feedback_id"],
        query=row["query"],
        document_id=row["document_id"],
        signal=Signal(row["signal"]),
        person=row["person"],
        rank=min(ranks) if ranks else None,
        at=row["at"],
        retrieval_id=row["retrieval_id"],
    )


def _judgment(row: RowMapping) -> Judgment:
    return Judgment(
        query=row["query"],
        document_id=row["document_id"],
        grade=row["grade"],
        split=Split(row["split"]),
        source=row["source"],
        sources=tuple(row["sources"]),
    )
