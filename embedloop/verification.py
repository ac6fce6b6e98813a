"""Verification at the destination: does a new index version hold what the catalog says that it must hold?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from embedloop.applier import View
from embedloop.catalog import documents, index_versions
from embedloop.comparison import (
    Checksum,
    Difference,
    Wanted,
    altered_passages,
    difference,
    scan,
    wanted,
)
from embedloop.encoder import Vectors
from embedloop.errors import VerificationFailed
from embedloop.fidelity import Truth
from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit
from embedloop.records.versions import FailedDocument
from embedloop.rescoring import is_coarse

MIN_RECALL = 0.95
SAMPLE_QUERIES = 32
SAMPLE_DOCUMENTS = 64
RECALL_AT = 10
QUERY_CHARS = 120
WARM_UP_SEARCHES = 3
NAMED = 5
# Milvus and NumPy add up in another order.
SCORE_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found; `reasons` is empty when the version may serve.

    Attributes:
        passages: Rows in Milvus, by count(*) with Strong consistency.
        expected: Rows that the catalog expects.
        checksum: Over the keys of the rows, whatever their order.
        expected_checksum: Over the keys that the catalog expects.
        unknown: Rows whose key the catalog does not expect.
        missing_documents: Live documents that the version does not hold.
        failures: Documents that could not be embedded.
        failed_documents: The first of those that the serving version could embed, with their passages at fault.
        texts_compared: Passages whose stored title, text and metadata were compared with the catalog.
        texts_altered: How many of them differ.
        recall: Share of the exact `RECALL_AT` nearest, by the model's own float32, that the index finds; None
            for an empty version.
        search_ms: Median time of a search after warm-up, None for an empty version.
        search_p95_ms: 95th percentile of the same.
        reasons: Why the version may not serve, each a sentence for people.
    """

    passages: int
    expected: int
    checksum: str
    expected_checksum: str
    unknown: int
    missing_documents: int
    failures: int
    failed_documents: Sequence[FailedDocument]
    texts_compared: int
    texts_altered: int
    recall: float | None
    search_ms: float | None
    search_p95_ms: float | None
    reasons: Sequence[str]

    @property
    def passed(self) -> bool:
        return not self.reasons

    def as_json(self) -> Mapping[str, object]:
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True, slots=True)
class _Searched:
    """How the index answered: recall against brute force, and milliseconds."""

    recall: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None


def verify(view: View, *, failures_allowed: Sequence[str]) -> Verification:
    """Compares a version with the catalog, while the caller holds its applier's lease.

    Writes go on meanwhile: a document with a change after the version's cursor is left out of the comparison,
    for its rows may be of either rev.

    Args:
        view: The version, sealed; its `check` is called between pages.
        failures_allowed: Documents that the serving version could not embed either.
    """
    expected = wanted(view, named=NAMED)
    queries = _sample_queries(view)
    seen, moving, truth = scan(view, expected, queries, RECALL_AT)
    searched = _search(view, truth)
    compared, altered = altered_passages(view, expected, SAMPLE_DOCUMENTS)
    passages = view.index.count(view.version.collection)
    new_failures = sorted(expected.failed - set(failures_allowed))
    told = _failed(view, new_failures[:NAMED])
    differs = difference(view, expected, seen)
    reasons = [
        *_count_reasons(passages, expected.checksum.count + moving),
        *_key_reasons(differs, expected.checksum, seen),
        *_missing_reasons(expected),
        *_failure_reasons(told, len(new_failures)),
        *_text_reasons(compared, altered),
        *_recall_reasons(searched, view.version.index),
    ]
    return Verification(
        passages=passages,
        expected=expected.checksum.count,
        checksum=seen.hex(),
        expected_checksum=expected.checksum.hex(),
        unknown=differs.unexpected,
        missing_documents=expected.missing,
        failures=len(expected.failed),
        failed_documents=told,
        texts_compared=compared,
        texts_altered=len(altered),
        recall=searched.recall,
        search_ms=searched.median_ms,
        search_p95_ms=searched.p95_ms,
        reasons=reasons,
    )


def require(verification: Verification, index_version_id: str) -> None:
    """Raises VerificationFailed with every reason."""
    if not verification.passed:
        raise VerificationFailed(
            f"index version {index_version_id} is not what it must be: {'; '.join(verification.reasons)}"
        )


def _count_reasons(passages: int, expected: int) -> list[str]:
    return [] if passages == expected else [f"count(*) is {passages}, the catalog expects {expected}"]


def _key_reasons(differs: Difference, expected: Checksum, seen: Checksum) -> list[str]:
    if not expected.differing(seen):
        return []
    repeated = f", {differs.repeated} came twice" if differs.repeated else ""
    return [f"{differs.absent} expected keys are absent, {differs.unexpected} are unexpected{repeated}"]


def _missing_reasons(expected: Wanted) -> list[str]:
    if not expected.missing:
        return []
    return [f"{expected.missing} live documents are absent, first {list(expected.first_missing)}"]


def _failure_reasons(first: Sequence[FailedDocument], count: int) -> list[str]:
    if not count:
        return []
    more = f"; and {count - len(first)} more" if count > len(first) else ""
    return [f"{count} documents cannot be embedded: {'; '.join(map(_told, first))}{more}"]


def _told(failed: FailedDocument) -> str:
    """A failure in one line.

    >>> _told(FailedDocument("d-7", ("5f0c", "77ab"), "RuntimeError: no"))
    "document 'd-7', passages 5f0c, 77ab (RuntimeError: no)"
    """
    ids = failed.passage_ids
    where = f", passage{'s' * (len(ids) > 1)} {', '.join(ids)}" if ids else ""
    return f"document {failed.document_id!r}{where} ({failed.reason})"


def _text_reasons(compared: int, altered: Sequence[str]) -> list[str]:
    if not altered:
        return []
    return [
        f"{len(altered)} of {compared} sampled passages are not as in the catalog: {'; '.join(altered[:NAMED])}"
    ]


def _recall_reasons(searched: _Searched, settings: IndexSettings) -> list[str]:
    if searched.recall is None or searched.recall >= MIN_RECALL:
        return []
    told = f"recall@{RECALL_AT} against brute force is {searched.recall:.3f}, below {MIN_RECALL}"
    if settings.vector_type == "float32":
        return [told]
    more = "raise policy.index.rescore_factor or " if is_coarse(settings) else ""
    return [f"{told}, with {settings.vector_type} vectors: {more}choose another policy.index.vector_type"]


def _failed(view: View, document_ids: Sequence[str]) -> list[FailedDocument]:
    with view.database.read() as connection:
        return index_versions.failed_documents(connection, view.version.index_version_id, document_ids)


def _sample_queries(view: View) -> NDArray[np.float32]:
    """Vectors (q, dim) of the beginnings of documents spread over the corpus."""
    with view.database.read() as connection:
        chosen = documents.spread(connection, view.version.corpus, SAMPLE_QUERIES)
        found = documents.get_many(connection, view.version.corpus, chosen)
    texts = [(d.title or d.text)[:QUERY_CHARS] for d in found.values()]
    return view.encoder.encode_queries(texts)


def _search(view: View, truth: Truth) -> _Searched:
    """A hit counts when it is as near as the last of the exact nearest: equal passages are equally right."""
    queries = truth.queries
    total = sum(exact.count for exact in truth.nearest)
    if not total:
        return _Searched()
    search = partial(view.index.search, view.version.collection, settings=view.version.index)
    # At once: a server may make each strong read wait for its next tick.
    scores = truth.scores(search(queries, RECALL_AT, strong=True))
    found = sum(
        score >= exact.lowest - SCORE_TOLERANCE
        for of_query, exact in zip(scores, truth.nearest, strict=True)
        for score in of_query
    )
    _, times = time_searches(search, queries, view.check)
    return _Searched(found / total, float(np.median(times)), float(np.percentile(times, 95)))


def time_searches(
    search: Callable[[Vectors, int], list[list[Hit]]], queries: Vectors, check: Callable[[], None]
) -> tuple[list[list[Hit]], list[float]]:
    """Searches one query after another, after a warm-up.

    Args:
        search: Vectors (n, dim) and how many hits of each -> the hits of each.
        queries: (q, dim) float32, L2-normalised.
        check: Called between two searches; what it raises ends them.

    Returns:
        The `RECALL_AT` hits of each query, and the milliseconds that each took.
    """
    for vector in queries[:WARM_UP_SEARCHES]:
        search(vector[None, :], RECALL_AT)
    answers: list[list[Hit]] = []
    times: list[float] = []
    for vector in queries:
        check()
        begin = time.perf_counter()
        answers += search(vector[None, :], RECALL_AT)
        times.append(1000 * (time.perf_counter() - begin))
    return answers, times
