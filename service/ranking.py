"""Pure rules of a search's answer: how much to fetch, what to drop, how boosts re-order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from embedloop.index_search import MAX_WINDOW
from embedloop.policy import Boost
from embedloop.records.documents import Hit, Passage

# Every hit costs CPU on both sides, and few are dropped: a short answer is asked for again, wider.
MARGIN = 2
BOOSTED_MARGIN = 10
WIDER = 4
LEAST_WIDER = 64


def fetch_limit(top_k: int, *, boosted: bool) -> int:
    """How many hits to ask Milvus for: a few more than wanted, and more where boosts re-order them.

    >>> fetch_limit(10, boosted=False)
    12
    """
    return min(MAX_WINDOW, 2 * top_k + BOOSTED_MARGIN if boosted else top_k + MARGIN)


def wider_limit(limit: int) -> int:
    """How many to ask for when so many of the first `limit` were dropped that the answer is short."""
    return min(MAX_WINDOW, max(LEAST_WIDER, WIDER * limit))


def live_only(hits: Sequence[Hit], live: Mapping[str, int]) -> list[Hit]:
    """The hits whose (document, rev) is live by the catalog."""
    return [hit for hit in hits if live.get(hit.passage.document_id) == hit.passage.rev]


def boost_of(passage: Passage, boosts: Sequence[Boost]) -> float:
    """The product of the factors of every boost that the passage's metadata matches."""
    factor = 1.0
    for boost in boosts:
        value = passage.metadata.get(boost.field)
        # True equals 1 in Python; to a caller they differ.
        if value == boost.value and isinstance(value, bool) == isinstance(boost.value, bool):
            factor *= boost.factor
    return factor


def ranked(hits: Sequence[Hit], boosts: Sequence[Boost]) -> list[tuple[Hit, float]]:
    """Boosted hits, the best first, each with its cosine before boosting; ties keep Milvus' order."""
    scored = [(Hit(hit.passage, hit.score * boost_of(hit.passage, boosts)), hit.score) for hit in hits]
    return sorted(scored, key=lambda pair: -pair[0].score)
