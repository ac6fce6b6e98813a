"""A map of queries, fitted to judgments over vectors that are there already: seconds for thousands of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from embedloop.query_map import QueryMap
from embedloop.recipe.query_map import QueryMapSettings
from training.map_kinds import Matrix, Pairs, learn_map

# How much of what was learnt is kept; chosen on the pairs that were held back.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# From so many queries of the dev split on, it chooses.
LEAST_DEV = 20
_HELD_BACK = 5
_MOST_HELD_BACK = 1000
_QUERIES_PER_STEP = 100

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FittedMap:
    """A map and what was found about it.

    Attributes:
        query_map: As it is to serve.
        share: How much of the learnt change was kept, 0..1; 0 is the identity.
        before: Mean reciprocal rank of the held-back queries as they were, 0..1, greater is better.
        after: The same once they are mapped.
        learnt_from: Number of pairs.
        chosen_on: Number of pairs that were held back.
    """

    query_map: QueryMap
    share: float
    before: float
    after: float
    learnt_from: int
    chosen_on: int

    def to_json(self) -> dict[str, float]:
        """Everything but the map."""
        return {
            "share": self.share,
            "mrr_before": self.before,
            "mrr_after": self.after,
            "learnt_from": self.learnt_from,
            "chosen_on": self.chosen_on,
        }


def fit_query_map(
    pairs: Pairs,
    settings: QueryMapSettings,
    *,
    seed: int = 13,
    dev: Pairs | None = None,
    check: Callable[[], None] = lambda: None,
) -> FittedMap:
    """Learns a map that moves queries towards what answers them.

    Pairs that it did not learn from choose how much of the change is kept, by mean reciprocal rank among the
    documents of all pairs, so that little is lost where labels teach nothing.

    Args:
        pairs: Queries and what answers them.
        settings: Kind of map and how near to the identity it stays.
        seed: The same seed and pairs give the same map.
        dev: Chooses where it has twenty pairs; else the pairs of a fifth of the documents do, and are not
            learnt from.
        check: Called between steps; raises what shall end the fit.

    Raises:
        InvalidInput: The numbers of queries, positives and ids differ, or there are fewer than two pairs.
    """
    if len(pairs) < 2:
        raise InvalidInput(f"a map of queries needs two pairs or more, got {len(pairs)}")
    kept, back = (pairs, dev) if dev is not None and len(dev) >= LEAST_DEV else _parted(pairs, seed)
    back = back.take(np.arange(min(len(back), _MOST_HELD_BACK)))
    identity = QueryMap.identity(pairs.queries.shape[1])
    # One document has none to be told from.
    learnt = learn_map(kept, settings, seed, check) if len(set(kept.documents)) > 1 else identity
    maps = [learnt.weakened(share) for share in SHARES]
    pool = _documents_of(kept, back)
    found = [_reciprocal_rank(one.apply(back.queries), back, pool, check) for one in maps]
    # Of equals the first, which changes least.
    best = int(np.argmax(found))
    return FittedMap(maps[best], SHARES[best], found[0], found[best], len(kept), len(back))


def _parted(pairs: Pairs, seed: int) -> tuple[Pairs, Pairs]:
    """All but the pairs of a fifth of the documents, and those, in no order that says anything."""
    names = np.asarray(pairs.documents)
    drawn = np.random.default_rng(seed)
    known = drawn.permutation(np.unique(names))
    back = np.isin(names, known[: max(1, len(known) // _HELD_BACK)])
    return pairs.take(np.flatnonzero(~back)), pairs.take(drawn.permutation(np.flatnonzero(back)))


def _documents_of(*groups: Pairs) -> tuple[Matrix, Sequence[str]]:
    """Every document that a query may find, once."""
    first: dict[str, Matrix] = {}
    for group in groups:
        for document, vector in zip(group.documents, group.positives, strict=True):
            first.setdefault(document, vector)
    return np.stack(list(first.values())), list(first)


def _reciprocal_rank(
    queries: Matrix, back: Pairs, pool: tuple[Matrix, Sequence[str]], check: Callable[[], None]
) -> float:
    """Mean over queries of 1 / rank of the document that answers them."""
    vectors, names = pool
    positions = {name: number for number, name in enumerate(names)}
    wanted = np.array([positions[name] for name in back.documents])
    total = 0.0
    for start in range(0, len(queries), _QUERIES_PER_STEP):
        check()
        scores = queries[start : start + _QUERIES_PER_STEP] @ vectors.T
        own = scores[np.arange(len(scores)), wanted[start : start + _QUERIES_PER_STEP]][:, None]
        total += float(np.sum(1.0 / (1 + np.sum(scores > own, axis=1))))
    return total / len(queries)
