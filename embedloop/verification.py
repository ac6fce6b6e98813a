"""Verification at the destination: does a new index version hold what the catalog says that it must hold?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from embedloop.applier import View
from embedloop.catalog import documents, index_versions
from embedloop.errors import VerificationFailed
from embedloop.index import passage_id

MIN_RECALL = 0.95
SAMPLE_QUERIES = 32
RECALL_AT = 10
QUERY_CHARS = 120


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found; `reasons` is empty when the version may serve.

    Attributes:
        passages: Rows in Milvus, by count(*) with Strong consistency.
        expected: Rows that the catalog expects.
        unknown: Rows whose key the catalog does not expect.
        missing_documents: Live documents that the version does not hold.
        failures: Documents that could not be embedded.
        recall: Share of the exact `RECALL_AT` nearest that the index finds, None for an empty version.
        search_ms: Median search time after warm-up, None for an empty version.
    """

    passages: int
    expected: int
    unknown: int
    missing_documents: int
    failures: int
    recall: float | None
    search_ms: float | None
    reasons: Sequence[str]

    @property
    def passed(self) -> bool:
        return not self.reasons

    def as_json(self) -> Mapping[str, object]:
        return {**asdict(self), "passed": self.passed}


def verify(view: View, *, failures_allowed: Sequence[str]) -> Verification:
    """Compares a version with the catalog, while the caller holds its applier's lease.

    Args:
        view: The version, flushed and loaded.
        failures_allowed: Documents that the serving version could not embed either.
    """
    expected, missing = _expected(view)
    queries = _sample_queries(view)
    seen, nearest = _scan(view, expected, queries)
    recall, search_ms = _recall(view, queries, nearest)
    with view.database.read() as connection:
        failed = index_versions.failures(connection, view.version.index_version_id)
    passages = view.index.count(view.version.collection)
    new_failures = sorted(set(failed) - set(failures_allowed))
    missing -= len(failed)
    reasons = []
    if passages != len(expected):
        reasons.append(f"count(*) is {passages}, the catalog expects {len(expected)}")
    if seen.unknown or seen.known != len(expected):
        reasons.append(f"{len(expected) - seen.known} expected keys are absent, {seen.unknown} are unexpected")
    if missing > 0:
        reasons.append(f"{missing} live documents are absent")
    if new_failures:
        reasons.append(f"{len(new_failures)} documents cannot be embedded, first {new_failures[:5]}")
    if recall is not None and recall < MIN_RECALL:
        reasons.append(f"recall@{RECALL_AT} against brute force is {recall:.3f}, below {MIN_RECALL}")
    return Verification(
        passages, len(expected), seen.unknown, max(missing, 0), len(failed), recall, search_ms, reasons
    )


def require(verification: Verification, index_version_id: str) -> None:
    """Raises VerificationFailed with every reason."""
    if not verification.passed:
        raise VerificationFailed(
            f"index version {index_version_id} is not what it must be: {'; '.join(verification.reasons)}"
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    known: int
    unknown: int


def _expected(view: View) -> tuple[set[bytes], int]:
    """Keys that must be there (16 bytes each), and how many live documents have no written rows."""
    keys: set[bytes] = set()
    placed_documents = 0
    with view.database.read() as connection:
        for page in index_versions.iterate_placements(connection, view.version.index_version_id):
            for placed, live in page:
                if live and placed.written:
                    placed_documents += 1
                    keys.update(
                        bytes.fromhex(passage_id(placed.document_id, placed.rev, n))
                        for n in range(placed.passages)
                    )
        alive = len(documents.live_ids(connection, view.version.corpus))
    return keys, alive - placed_documents


def _sample_queries(view: View) -> NDArray[np.float32]:
    """Vectors (q, dim) of the beginnings of documents spread over the corpus."""
    with view.database.read() as connection:
        ids = documents.live_ids(connection, view.version.corpus)
        chosen = ids[:: max(1, len(ids) // SAMPLE_QUERIES)][:SAMPLE_QUERIES]
        found = documents.get_many(connection, view.version.corpus, chosen)
    texts = [(d.title or d.text)[:QUERY_CHARS] for d in found.values()]
    return view.encoder.encode_queries(texts)


def _scan(view: View, expected: set[bytes], queries: NDArray[np.float32]) -> tuple[_Seen, list[set[str]]]:
    """One pass over all rows: compares keys and keeps each query's exact nearest."""
    best: list[list[tuple[float, str]]] = [[] for _ in queries]
    known = unknown = 0
    for page in view.index.scan(view.version.collection, with_vectors=True):
        matching = sum(bytes.fromhex(row.passage_id) in expected for row in page)
        known, unknown = known + matching, unknown + len(page) - matching
        vectors = np.stack([row.vector for row in page if row.vector is not None])
        for heap, scores in zip(best, queries @ vectors.T, strict=True):
            top = np.argsort(-scores)[:RECALL_AT]
            heap.extend((float(scores[i]), page[i].passage_id) for i in top)
            heap.sort(reverse=True)
            del heap[RECALL_AT:]
    return _Seen(known, unknown), [{key for _, key in heap} for heap in best]


def _recall(
    view: View, queries: NDArray[np.float32], nearest: Sequence[set[str]]
) -> tuple[float | None, float | None]:
    wanted = sum(len(keys) for keys in nearest)
    if not wanted:
        return None, None
    found, times = 0, []
    for repeat in range(2):
        for vector, keys in zip(queries, nearest, strict=True):
            begin = time.perf_counter()
            hits = view.index.search(
                view.version.collection,
                vector[None, :],
                RECALL_AT,
                ef_search=view.version.index.ef_search,
                strong=True,
            )[0]
            if repeat:
                times.append(1000 * (time.perf_counter() - begin))
                found += len(keys & {hit.passage.passage_id for hit in hits})
    return found / wanted, float(np.median(times))
