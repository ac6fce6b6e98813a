"""Two-stage search: a cheap model finds candidates among all passages, a better one ranks those again.

The cheap model's vectors are what every passage costs, in time and in memory; the better one's are needed for
the candidates alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedloop.encoder import Vectors
from embedloop.errors import InvalidInput

DEPTH = 100


@dataclass(frozen=True, slots=True)
class Tier:
    """One model's vectors of the same queries and passages: (q, dim) and (n, dim) float32, L2-normalised."""

    queries: Vectors
    passages: Vectors


def two_stage(
    coarse: Tier, fine: Tier, document_ids: Sequence[str], k: int, depth: int = DEPTH
) -> list[list[str]]:
    """Ranks documents by the fine tier's cosine, among each query's `depth` nearest passages in the coarse one.

    Args:
        coarse: The cheap model's vectors.
        fine: The better model's, of the same texts in the same order.
        document_ids: n ids; a document is as near as its nearest passage.
        k: Most documents a query.
        depth: How many passages the first stage hands on.

    Returns:
        q lists of distinct document ids, nearest first; equals are in the order of the first stage.

    Raises:
        InvalidInput: The tiers and ids are not of the same texts.

    >>> axis = np.eye(3, dtype=np.float32)
    >>> two_stage(Tier(axis[:1], axis), Tier(axis[:1], axis[[2, 0, 1]]), ["a", "b", "c"], k=3, depth=2)
    [['b', 'a']]
    """
    sizes = [(len(one.queries), len(one.passages)) for one in (coarse, fine)]
    if sizes[0] != sizes[1] or sizes[0][1] != len(document_ids):
        raise InvalidInput(
            f"both tiers must hold the same queries and passages, with an id for each passage, got {sizes[0]} "
            f"and {sizes[1]} with {len(document_ids)} ids"
        )
    ranked = []
    for cheap, good in zip(coarse.queries, fine.queries, strict=True):
        candidates = np.argsort(-(coarse.passages @ cheap), kind="stable")[:depth]
        again = candidates[np.argsort(-(fine.passages[candidates] @ good), kind="stable")]
        ranked.append(list(dict.fromkeys(document_ids[row] for row in again))[:k])
    return ranked
