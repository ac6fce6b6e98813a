"""What a model is worth on the general set; apart from the set, which is also read where nothing is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation import Scores, rank_by_cosine, score_run
from training.general import GeneralSet

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts in, (n, dim) float32 out, L2-normalised."""


def score_general(sets: Sequence[GeneralSet], encode_queries: Encode, encode_passages: Encode) -> Scores:
    """Scores a model on all sets together.

    Args:
        sets: At least one.
        encode_queries: The model's, with its prompt for queries.
        encode_passages: The model's, with its prompt for passages.

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
        ranked = rank_by_cosine(
            encode_queries([one.queries[query] for query in ids]),
            encode_passages([one.documents[document] for document in documents]),
            documents,
            k=10,
        )
        run |= {f"{one.name}/{query}": row for query, row in zip(ids, ranked, strict=True)}
        qrels |= {f"{one.name}/{query}": one.qrels.get(query, {}) for query in ids}
    return score_run(run, qrels)
