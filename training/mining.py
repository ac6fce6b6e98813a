"""Hard negatives: documents that a search puts near a query although they do not answer it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Searcher(Protocol):
    """Finds documents for many queries at once."""

    def search(self, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """Per query, up to `limit` (document id, cosine), nearest first; greater is nearer."""
        ...


@dataclass(frozen=True, slots=True)
class MinedNegatives:
    """Negatives per query (document ids, hardest evidence first) and what each rule dropped.

    `taken` counts negatives by origin (`judged`, `searched`); `dropped` counts candidates by rule
    (`known_positive`, `too_near`, `positive_not_found`).
    """

    negatives: Mapping[str, tuple[str, ...]]
    taken: Mapping[str, int]
    dropped: Mapping[str, int]


def mine_hard_negatives(
    positives: Mapping[str, Collection[str]],
    judged_negative: Mapping[str, Collection[str]],
    searcher: Searcher,
    *,
    per_query: int,
    relative_margin: float,
    limit: int = 30,
) -> MinedNegatives:
    """Chooses hard negatives: down-voted documents first, then near ones that are surely not positives.

    A searched candidate is kept only if its cosine is at most `(1 - relative_margin)` times that of the
    query's best positive: nearer ones are often unlabelled answers (positive-aware mining, Moreira et al.
    2024, "NV-Retriever", TopK-PercPos). Where no positive is among the `limit` results, its cosine is below
    all of theirs, so every candidate is too near and the query gets none.

    Args:
        positives: Query -> ids of its relevant documents; these queries are mined.
        judged_negative: Query -> ids of documents that people marked as wrong for it.
        searcher: The search whose mistakes are to be corrected, usually the base model's.
        per_query: Most negatives for one query; 0 mines nothing.
        relative_margin: 0 keeps everything below the positive; 0.05 asks for 5 % less.
        limit: Results to ask for per query.
    """
    queries = sorted(positives)
    taken: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    found = searcher.search(queries, limit) if per_query and queries else [[] for _ in queries]
    negatives: dict[str, tuple[str, ...]] = {}
    for query, results in zip(queries, found, strict=True):
        relevant = set(positives[query])
        judged = [one for one in sorted(judged_negative.get(query, ())) if one not in relevant][:per_query]
        near = _far_enough(results, relevant, relative_margin, dropped)
        searched = [one for one in near if one not in judged][: per_query - len(judged)]
        taken.update(judged=len(judged), searched=len(searched))
        negatives[query] = (*judged, *searched)
    return MinedNegatives(negatives, dict(taken), dict(dropped))


def _far_enough(
    results: Sequence[tuple[str, float]], relevant: set[str], relative_margin: float, dropped: Counter[str]
) -> list[str]:
    """Distinct candidates below the margin, nearest first; counts the others by the rule that drops them."""
    best: dict[str, float] = {}
    for document_id, score in results:
        best[document_id] = max(score, best.get(document_id, score))
    positive_scores = [score for document_id, score in best.items() if document_id in relevant]
    dropped["known_positive"] += len(positive_scores)
    candidates = [(score, document_id) for document_id, score in best.items() if document_id not in relevant]
    if not positive_scores:
        dropped["positive_not_found"] += len(candidates)
        return []
    # A negative cosine would turn the factor round: the margin is then taken off its size.
    top = max(positive_scores)
    ceiling = top - relative_margin * abs(top)
    kept = [(score, document_id) for score, document_id in candidates if score <= ceiling]
    dropped["too_near"] += len(candidates) - len(kept)
    return [document_id for _, document_id in sorted(kept, key=lambda one: (-one[0], one[1]))]
