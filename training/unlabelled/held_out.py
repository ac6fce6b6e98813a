"""A judged set made of documents that train nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.general import GeneralSet

NAME = "held_out"


def untrained(pairs: Iterable[TrainingPair], trained: Iterable[TrainingPair]) -> list[TrainingPair]:
    """The pairs of which neither the document nor the query is in a training set, in whatever role."""
    documents: set[str] = set()
    queries: set[str] = set()
    for one in trained:
        documents |= {one.document_id, *one.negative_ids}
        queries |= {one.anchor_key, query_key(one.anchor)}
    return [
        pair for pair in pairs if pair.document_id not in documents and query_key(pair.anchor) not in queries
    ]


def set_of(pairs: Sequence[TrainingPair], others: Mapping[str, str]) -> GeneralSet:
    """Each pair's anchor asks for its document, which is told by the pair's positive.

    Args:
        pairs: One of each document.
        others: Document id -> text of documents that no query asks for.
    """
    asked = {pair.anchor_key: pair for pair in pairs}
    return GeneralSet(
        NAME,
        {key: pair.anchor for key, pair in asked.items()},
        {**others, **{pair.document_id: pair.positive for pair in pairs}},
        {key: {pair.document_id: 1} for key, pair in asked.items()},
    )
