"""Verification at the destination: does a new index version hold what the catalog says that it must hold?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from embedloop.applier import View
from embedloop.catalog import documents, index_versions
from embedloop.errors import VerificationFailed
from embedloop.index_rows import passage_id
from embedloop.records import Placement

MIN_RECALL = 0.95
SAMPLE_QUERIES = 32
RECALL_AT = 10
QUERY_CHARS = 120
# Milvus and NumPy add up in another order.
SCORE_TOLERANCE = 1e-4


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

    Writes go on meanwhile: a document with a change after the version's cursor is left out of the comparison,
    for its rows may be of either rev.

    Args:
        view: The version, sealed.
        failures_allowed: Documents that the serving version could not embed either.
    """
    wanted = _wanted(view)
    expected = wanted.keys
    queries = _sample_queries(view)
    seen, nearest = _scan(view, wanted, queries)
    recall, search_ms = _recall(view, queries, nearest)
    passages = view.index.count(view.version.collection)
    new_failures = sorted(wanted.failed - set(failures_allowed))
    missing = len(wanted.missing)
    reasons = []
    if passages != len(expected) + seen.in_motion:
        reasons.append(f"count(*) is {passages}, the catalog expects {len(expected) + seen.in_motion}")
    if seen.unknown or seen.known != len(expected):
        reasons.append(f"{len(expected) - seen.known} expected keys are absent, {seen.unknown} are unexpected")
    if missing:
        reasons.append(f"{missing} live documents are absent, first {sorted(wanted.missing)[:5]}")
    if new_failures:
        reasons.append(f"{len(new_failures)} documents cannot be embedded, first {new_failures[:5]}")
    if recall is not None and recall < MIN_RECALL:
        reasons.append(f"recall@{RECALL_AT} against brute force is {recall:.3f}, below {MIN_RECALL}")
    return Verification(
        passages, len(expected), seen.unknown, missing, len(wanted.failed), recall, search_ms, reasons
    )


def require(verification: Verification, index_version_id: str) -> None:
    """Raises VerificationFailed with every reason."""
    if not verification.passed:
        raise VerificationFailed(
            f"index version {index_version_id} is not what it must be: {'; '.join(verification.reasons)}"
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the catalog says: keys that must be there, and keys of documents that changed after the cursor."""

    keys: set[bytes]
    in_motion: set[bytes]
    missing: set[str]
    failed: set[str]


@dataclass(frozen=True, slots=True)
class _Seen:
    known: int
    in_motion: int
    unknown: int


@dataclass(frozen=True, slots=True)
class _Nearest:
    """A query's exact nearest: how many there are, and the score of the last of them."""

    count: int
    lowest: float


def _wanted(view: View) -> _Wanted:
    """Keys take 16 bytes each, for there may be millions."""
    identity, corpus = view.version.index_version_id, view.version.corpus
    with view.database.read() as connection:
        cursor = index_versions.get(connection, identity).applied_seq
        keys: set[bytes] = set()
        placed_documents: set[str] = set()
        for page in index_versions.iterate_placements(connection, identity):
            for placed, live in page:
                if live and placed.written:
                    placed_documents.add(placed.document_id)
                    keys.update(_keys(placed))
        alive = set(documents.live_ids(connection, corpus))
        failed = set(index_versions.failures(connection, identity))
        changed = documents.changed_after(connection, corpus, cursor)
        moving = index_versions.placements_of(connection, identity, sorted(changed))
    in_motion = {key for group in moving.values() for placed in group for key in _keys(placed)}
    return _Wanted(keys - in_motion, in_motion, alive - placed_documents - failed - changed, failed)


def _keys(placed: Placement) -> Iterator[bytes]:
    for ordinal in range(placed.passages):
        yield bytes.fromhex(passage_id(placed.document_id, placed.rev, ordinal))


def _sample_queries(view: View) -> NDArray[np.float32]:
    """Vectors (q, dim) of the beginnings of documents spread over the corpus."""
    with view.database.read() as connection:
        ids = documents.live_ids(connection, view.version.corpus)
        chosen = ids[:: max(1, len(ids) // SAMPLE_QUERIES)][:SAMPLE_QUERIES]
        found = documents.get_many(connection, view.version.corpus, chosen)
    texts = [(d.title or d.text)[:QUERY_CHARS] for d in found.values()]
    return view.encoder.encode_queries(texts)


def _scan(view: View, wanted: _Wanted, queries: NDArray[np.float32]) -> tuple[_Seen, list[_Nearest]]:
    """One pass over all rows: compares keys and finds each query's exact nearest."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    known = in_motion = unknown = 0
    for page in view.index.scan(view.version.collection, with_vectors=True):
        for row in page:
            key = bytes.fromhex(row.passage_id)
            known += key in wanted.keys
            in_motion += key in wanted.in_motion
            unknown += key not in wanted.keys and key not in wanted.in_motion
        vectors = np.stack([row.vector for row in page if row.vector is not None])
        best = -np.sort(-np.hstack([best, queries @ vectors.T]), axis=1)[:, :RECALL_AT]
    nearest = [_Nearest(len(scores), float(scores[-1])) for scores in best if len(scores)]
    return _Seen(known, in_motion, unknown), nearest


def _recall(
    view: View, queries: NDArray[np.float32], nearest: Sequence[_Nearest]
) -> tuple[float | None, float | None]:
    """A hit counts when it is as near as the last of the exact nearest: equal passages are equally right."""
    wanted = sum(exact.count for exact in nearest)
    if not wanted:
        return None, None
    search = partial(view.index.search, view.version.collection, ef_search=view.version.index.ef_search)
    # At once: a server may make each strong read wait for its next tick.
    answers = search(queries, RECALL_AT, strong=True)
    found = sum(
        hit.score >= exact.lowest - SCORE_TOLERANCE
        for hits, exact in zip(answers, nearest, strict=True)
        for hit in hits
    )
    times = []
    for vector in queries:
        begin = time.perf_counter()
        search(vector[None, :], RECALL_AT)
        times.append(1000 * (time.perf_counter() - begin))
    return found / wanted, float(np.median(times))
