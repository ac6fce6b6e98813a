"""Hits of coarse vectors, scored again: the query in float32 against the finest numbers that a row has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embedloop.encoder import Vectors
from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit

BITS_FACTOR = 16
COARSE_FACTOR = 4
# A row comes with its text: more of them cost more than they bring.
MOST_RESCORED = 2000


def is_coarse(settings: IndexSettings) -> bool:
    """Whether Milvus ranks by coarser numbers than a row has, and does not rank again by itself.

    >>> is_coarse(IndexSettings()), is_coarse(IndexSettings(index_type="IVF_SQ8"))
    (False, True)
    >>> is_coarse(IndexSettings(vector_type="binary", index_type="FLAT"))
    True
    """
    return settings.vector_type in ("int8", "binary") or settings.index_type == "IVF_SQ8"


def candidates(settings: IndexSettings, limit: int) -> int:
    """How many hits to take where `limit` are wanted.

    >>> bits = IndexSettings(vector_type="binary", index_type="FLAT")
    >>> [candidates(bits, limit) for limit in (10, 500, 3000)], candidates(IndexSettings(), 10)
    ([160, 2000, 3000], 10)
    >>> candidates(IndexSettings(index_type="IVF_SQ8", rescore_factor=7), 10)
    70
    """
    if not is_coarse(settings):
        return limit
    usual = BITS_FACTOR if settings.vector_type == "binary" else COARSE_FACTOR
    return max(limit, min(limit * (settings.rescore_factor or usual), MOST_RESCORED))


def rescored(query: Vectors, hits: Sequence[Hit], vectors: Sequence[Vectors], limit: int) -> list[Hit]:
    """The best `limit` hits by their cosine with the query, the nearest first.

    Unlike both sides rounded alike, the query keeps all of its numbers (Yamada et al. 2021, "Efficient Passage
    Retrieval with Hashing for Open-domain Question Answering", for bits).

    Args:
        query: (dim,) float32, L2-normalised.
        hits: Candidates, in the order of the coarse search; equals stay in it.
        vectors: The candidates' own, each (dim,) float32, L2-normalised.
        limit: How many to keep.
    """
    if not hits:
        return []
    scores = np.stack(vectors) @ query
    best = np.argsort(-scores, kind="stable")[:limit]
    return [replace(hits[n], score=float(scores[n])) for n in best]
