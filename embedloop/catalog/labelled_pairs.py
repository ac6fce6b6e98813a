"""Imported pairs whose positive is a text and no document, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from embedloop.catalog.database import now
from embedloop.catalog.dialect import insert_or_update
from embedloop.catalog.label_tables import imported_pairs, queries
from embedloop.records.labels import LabelledText, Split
from embedloop.text.normalise import query_key, text_key

_TRAINS = (Split.TRAIN.value, Split.DEV.value)


_SAME_QUERY = (queries.c.corpus == imported_pairs.c.corpus) & (
    queries.c.query_key == imported_pairs.c.query_key
)


def store(connection: Connection, corpus: str, labelled: Sequence[LabelledText]) -> None:
    """Stores labelled texts; the same anchor and text again replaces the label and where it came from."""
    rows = {
        (query_key(one.anchor), text_key(one.text)): {
            "corpus": corpus,
            "query_key": query_key(one.anchor),
            "text_key": text_key(one.text),
            "text": one.text,
            "relevant": one.relevant,
            "source": one.source,
            "at": now(),
        }
        for one in labelled
    }
    insert_or_update(connection, imported_pairs, list(rows.values()))


def count(connection: Connection, corpus: str) -> int:
    """Relevant ones whose anchor may train."""
    statement = (
        select(func.count())
        .select_from(imported_pairs.join(queries, _SAME_QUERY))
        .where(imported_pairs.c.corpus == corpus, imported_pairs.c.relevant, queries.c.split.in_(_TRAINS))
    )
    return int(connection.execute(statement).scalar_one())


def of_corpus(connection: Connection, corpus: str) -> list[LabelledText]:
    """Those whose anchor may train, in a fixed order, with their splits."""
    statement = (
        select(imported_pairs, queries.c.query, queries.c.split)
        .join(queries, _SAME_QUERY)
        .where(imported_pairs.c.corpus == corpus, queries.c.split.in_(_TRAINS))
        .order_by(imported_pairs.c.query_key, imported_pairs.c.text_key)
    )
    return [
        LabelledText(row.query, row.text, row.relevant, row.source, Split(row.split))
        for row in connection.execute(statement)
    ]
