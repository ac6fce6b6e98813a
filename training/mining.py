"""Hard negatives: documents that a search puts near a query although they do not answer it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Protocol

# Candidates that are read closely, for every negative wanted.
_REVIEWED_PER_NEGATIVE = 3


class Searcher(Protocol):
    """Finds documents for many queries at once."""

    def search(self, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """Per query, up to `limit` (document id, score), best first; greater is better."""
        ...


class Reviewer(Protocol):
    """Reads query and document together, as a cross-encoder does."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """Relevance of each (query, document id), greater is more relevant."""
        ...


@dataclass(frozen=True, slots=True)
class MinedNegatives:
    """Negatives per query (document ids, hardest evidence first) and what each rule dropped.

    `taken` counts negatives by origin (`judged`, `searched`, `lexical`); `dropped` counts candidates by rule:
    `known_positive`, `too_near` (by its cosine), `positive_not_found` (so that no cosine says what is too
    near), `not_measured` (of another origin, and its cosine may be too near), `reviewed` (the reviewer holds
    it for an answer).
    """

    negatives: Mapping[str, tuple[str, ...]]
    taken: Mapping[str, int]
    dropped: Mapping[str, int]


def mine_hard_negatives(
    positives: Mapping[str, Collection[str]],
    judged_negative: Mapping[str, Collection[str]],
    searcher: Searcher | None,
    *,
    measure: Searcher | None = None,
    lexical: Searcher | None = None,
    reviewer: Reviewer | None = None,
    per_query: int,
    relative_margin: float,
    limit: int = 30,
) -> MinedNegatives:
    """Chooses hard negatives: down-voted documents first, then found ones that are surely not positives.

    A candidate is kept only if its cosine is at most `(1 - relative_margin)` times that of the query's best
    positive: nearer ones are often unlabelled answers (positive-aware mining, Moreira et al. 2024,
    "NV-Retriever", TopK-PercPos). Where no positive is among the `limit` results, its cosine is below all of
    theirs, so every candidate is too near and the query gets none. A document that only `lexical` finds is no
    nearer than the last of the results; it is kept if that is far enough.

    Args:
        positives: Query -> ids of its relevant documents; these queries are mined.
        judged_negative: Query -> ids of documents that people marked as wrong for it.
        searcher: The search by cosine whose mistakes are to be corrected, usually the serving model's; None
            takes no candidate from it.
        measure: The search by cosine that says what is too near, where it is not `searcher`.
        lexical: A search by words; its candidates alternate with those of `searcher`.
        reviewer: Drops candidates that it scores within the margin of the best positive.
        per_query: Most negatives for one query; 0 mines nothing.
        relative_margin: 0 keeps everything below the positive; 0.05 asks for 5 % less.
        limit: Results to ask for per query.
    """
    queries = sorted(positives)
    dropped: Counter[str] = Counter()
    near = _results(measure or searcher, queries, limit if per_query else 0)
    words = _results(lexical, queries, limit if per_query else 0)
    candidates: dict[str, list[str]] = {}
    origins: dict[tuple[str, str], str] = {}
    for query, results, matches in zip(queries, near, words, strict=True):
        by_cosine, by_words = _allowed(results, matches, set(positives[query]), relative_margin, dropped)
        origins |= {(query, one): "lexical" for one in by_words}
        if searcher is None:
            by_cosine = []
        origins |= {(query, one): "searched" for one in by_cosine}
        candidates[query] = list(_alternate(by_cosine, by_words))
    if reviewer is not None:
        candidates = _reviewed(candidates, positives, reviewer, per_query, relative_margin, dropped)
    taken: Counter[str] = Counter()
    negatives: dict[str, tuple[str, ...]] = {}
    for query in queries:
        relevant = set(positives[query])
        judged = [one for one in sorted(judged_negative.get(query, ())) if one not in relevant][:per_query]
        found = [one for one in candidates[query] if one not in judged][: per_query - len(judged)]
        taken["judged"] += len(judged)
        taken.update(origins[query, one] for one in found)
        negatives[query] = (*judged, *found)
    return MinedNegatives(negatives, dict(taken), dict(dropped))


def _results(searcher: Searcher | None, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
    if searcher is None or not limit or not queries:
        return [[] for _ in queries]
    return searcher.search(queries, limit)


def _allowed(
    results: Sequence[tuple[str, float]],
    matches: Sequence[tuple[str, float]],
    relevant: set[str],
    relative_margin: float,
    dropped: Counter[str],
) -> tuple[list[str], list[str]]:
    """Distinct candidates below the margin, by cosine and by words, best first; counts the others by rule."""
    cosines: dict[str, float] = {}
    for document_id, score in results:
        cosines[document_id] = max(score, cosines.get(document_id, score))
    positive_scores = [score for document_id, score in cosines.items() if document_id in relevant]
    dropped["known_positive"] += len(positive_scores)
    others = {one: score for one, score in cosines.items() if one not in relevant}
    words = list(dict.fromkeys(one for one, _ in matches if one not in relevant))
    if not positive_scores:
        dropped["positive_not_found"] += len(others.keys() | set(words))
        return [], []
    # A negative cosine would turn the factor round: the margin is then taken off its size.
    top = max(positive_scores)
    ceiling = top - relative_margin * abs(top)
    kept = sorted((one for one in others if others[one] <= ceiling), key=lambda one: (-others[one], one))
    dropped["too_near"] += len(others) - len(kept)
    unmeasured = [one for one in words if one not in others]
    far = min(cosines.values()) <= ceiling
    if not far:
        dropped["not_measured"] += len(unmeasured)
    known = set(kept) | (set(unmeasured) if far else set())
    return kept, [one for one in words if one in known]


def _alternate(first: Sequence[str], second: Sequence[str]) -> Iterator[str]:
    pairs = zip_longest(first, second)
    return iter(dict.fromkeys(one for one in chain.from_iterable(pairs) if one is not None))


def _reviewed(
    candidates: Mapping[str, Sequence[str]],
    positives: Mapping[str, Collection[str]],
    reviewer: Reviewer,
    per_query: int,
    relative_margin: float,
    dropped: Counter[str],
) -> dict[str, list[str]]:
    """The first candidates of each query that the reviewer scores below its best positive by the margin."""
    looked_at = {query: list(ids)[: _REVIEWED_PER_NEGATIVE * per_query] for query, ids in candidates.items()}
    pairs = [(query, one) for query, ids in looked_at.items() if ids for one in {*positives[query], *ids}]
    pairs.sort()
    scores = dict(zip(pairs, reviewer.score(pairs) if pairs else (), strict=True))
    kept: dict[str, list[str]] = {}
    for query, ids in looked_at.items():
        top = max((scores[query, one] for one in positives[query] if ids), default=0.0)
        ceiling = top - relative_margin * abs(top)
        kept[query] = [one for one in ids if scores[query, one] <= ceiling]
        dropped["reviewed"] += len(ids) - len(kept[query])
    return kept
