"""What a model is worth on the general set; apart from the set, which is also read where nothing is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation import Scores, rank_by_cosine, score_run
from training.general import GeneralSet
from training.two_stage import Tier, two_stage

_RANKED = 10

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts in, (n, dim) float32 out, L2-normalised."""


@dataclass(frozen=True, slots=True)
class SecondStage:
    """A model that orders the `depth` passages again that the first one found nearest."""

    encode_queries: Encode
    encode_passages: Encode
    depth: int


def score_general(
    sets: Sequence[GeneralSet],
    encode_queries: Encode,
    encode_passages: Encode,
    second: SecondStage | None = None,
) -> Scores:
    """Scores a model on all sets together.

    Args:
        sets: At least one.
        encode_queries: The model's, with its prompt for queries.
        encode_passages: The model's, with its prompt for passages.
        second: What orders its answers again; None for a model that answers in one stage.

    Returns:
        One value per query of every set; ids are `set/query`.

    Raises:
        InvalidInput: There is no set, or one has no query with a relevant document.
    """
    run: dict[str, Sequence[str]] = {}
    qrels: dict[str, Mapping[str, int]] = {}
    for one in sets:
        ids = sorted(one.queries)
        documents = sorted(one.documents)
        queries, texts = [one.queries[query] for query in ids], [one.documents[each] for each in documents]
        first = Tier(encode_queries(queries), encode_passages(texts))
        if second is None:
            ranked = rank_by_cosine(first.queries, first.passages, documents, k=_RANKED)
        else:
            fine = Tier(second.encode_queries(queries), second.encode_passages(texts))
            ranked = two_stage(first, fine, documents, k=_RANKED, depth=second.depth)
        run |= {f"{one.name}/{query}": row for query, row in zip(ids, ranked, strict=True)}
        qrels |= {f"{one.name}/{query}": one.qrels.get(query, {}) for query in ids}
    return score_run(run, qrels)
