"""Weighted reciprocal rank fusion: one list out of the nearest vectors and the best matches of words."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

K = 60
# Both lists count alike: what Milvus' own RRF does.
EVEN = 0.5

Key = TypeVar("Key", bound=Hashable)


def fuse(near: Sequence[Key], by_words: Sequence[Key], weight: float) -> list[tuple[Key, float]]:
    """Fuses two ranked lists by their ranks (Cormack et al. 2009, "Reciprocal rank fusion").

    A list adds `2 * share / (60 + rank)` to each of its keys, ranks counted from 1, so that with equal shares
    the scores are those of plain RRF. Milvus weighs its RRF only in its newest servers, and older ones ignore
    the weights (milvus-io/milvus #52817): therefore it is done here.

    Args:
        near: Keys by their vectors, the nearest first.
        by_words: Keys by BM25, the best first.
        weight: Share of the words, 0..1; the vectors have the rest.

    Returns:
        Every key once with its score, greater is better; equals stay in the order of `near`, then `by_words`.

    >>> [key for key, _ in fuse("abc", "cd", 0.5)]
    ['c', 'a', 'b', 'd']
    >>> [key for key, _ in fuse("abc", "cd", 0.0)], [key for key, _ in fuse("abc", "cd", 1.0)]
    (['a', 'b', 'c', 'd'], ['c', 'd', 'a', 'b'])
    """
    scores: dict[Key, float] = {}
    for keys, share in ((near, 1 - weight), (by_words, weight)):
        for rank, key in enumerate(keys, 1):
            scores[key] = scores.get(key, 0.0) + 2 * share / (K + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
