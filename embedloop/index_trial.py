"""A trial of index settings: the same rows under each of them, searched one by one, against brute force.

It writes to scratch collections alone, through the adapter that a re-embed writes through.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedloop.encoder import Vectors, go_on
from embedloop.errors import EmbedloopError, InvalidInput
from embedloop.fidelity import Candidates
from embedloop.index import MilvusIndex
from embedloop.index_candidates import bytes_a_row, described, name_of
from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit, Passage
from embedloop.verification import RECALL_AT, WARM_UP_SEARCHES, time_searches

log = logging.getLogger(__name__)

ROWS_A_MESSAGE = 512
# Scores of one row against different blocks of rows: NumPy adds up in another order.
SCORE_TOLERANCE = 1e-6
_FILLED, _SEALED = 0.6, 0.8


@dataclass(frozen=True)
class Sample:
    """Rows and queries of a trial.

    Attributes:
        keys: The n passages' ids, each once.
        read: The passages of rows start..stop (the end left out), in their order.
        vectors: (n, dim) float32, L2-normalised: the truth that recall is measured against.
        queries: (q, dim) float32, L2-normalised.
    """

    keys: Sequence[str]
    read: Callable[[int, int], Sequence[Passage]]
    vectors: Vectors
    queries: Vectors


@dataclass(frozen=True)
class Truth:
    """The exact nearest of each query of a sample.

    Attributes:
        sample: The sample.
        numbers: Passage id -> row.
        lowest: (q,) the cosine of each query's last nearest.
    """

    sample: Sample
    numbers: dict[str, int]
    lowest: NDArray[np.float32]

    @property
    def nearest(self) -> int:
        """How many nearest each query has: `RECALL_AT`, fewer in a sample that is smaller."""
        return min(RECALL_AT, len(self.sample.keys))

    def recall(self, query: int, hits: Sequence[Hit]) -> float:
        """Share of the exact nearest found: a hit counts that is as near as the last of them."""
        rows = [self.numbers[hit.passage.passage_id] for hit in hits]
        scores = self.sample.vectors[rows] @ self.sample.queries[query]
        return float(np.count_nonzero(scores >= self.lowest[query] - SCORE_TOLERANCE)) / self.nearest


def truth_of(sample: Sample) -> Truth:
    """Brute force in float32, in blocks, so that memory holds the sample and little more.

    Raises:
        InvalidInput: the sample has no row or no query.
    """
    if not len(sample.keys) or not len(sample.queries):
        raise InvalidInput(
            f"a trial needs rows and queries, got {len(sample.keys)} rows and {len(sample.queries)} queries"
        )
    exact = Candidates(sample.queries, RECALL_AT, "float32")
    for start in range(0, len(sample.keys), ROWS_A_MESSAGE):
        stop = start + ROWS_A_MESSAGE
        exact.add(sample.keys[start:stop], sample.vectors[start:stop])
    lowest = np.array([one.lowest for one in exact.as_stored()], dtype=np.float32)
    return Truth(sample, {key: number for number, key in enumerate(sample.keys)}, lowest)


def refusal(index: MilvusIndex, settings: IndexSettings) -> str | None:
    """Why the connected Milvus cannot do these settings, None where it can."""
    try:
        index.require(settings)
    except InvalidInput as error:
        return error.message
    return None


def refused(settings: IndexSettings, reason: str) -> dict[str, Any]:
    """The row of a candidate that was not tried."""
    return {"name": name_of(settings)} | described(settings) | {"refused": reason}


def measured(
    index: MilvusIndex,
    collection: str,
    settings: IndexSettings,
    truth: Truth,
    *,
    check: Callable[[], None] = go_on,
    progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, Any]:
    """Builds a scratch collection, searches it, and drops it again, whatever happens.

    Args:
        index: Milvus.
        collection: Physical name, not in use; the collection is this call's own.
        settings: The candidate.
        truth: What to store, what to ask, and what is to be found.
        check: Called between two searches or looks; what it raises ends the trial.
        progress: Told the share that is done, 0..1, between messages; what it raises ends the trial.

    Returns:
        A row, JSON-ready: settings, `bytes_a_row`, `build_seconds` until searches use the finished index,
        `recall_at_10`, and `search_ms` with p50 and p95 of single searches after a warm-up.
    """
    try:
        begin = time.perf_counter()
        _fill(index, collection, settings, truth.sample, progress)
        index.seal(collection, while_waiting=check)
        built = time.perf_counter() - begin
        progress(_SEALED)
        times, recalls = _search(index, collection, settings, truth, check)
    except BaseException:
        _give_up(index, collection)
        raise
    index.drop(collection)
    p50, p95 = np.percentile(times, (50, 95))
    return (
        {"name": name_of(settings)}
        | described(settings)
        | {
            "bytes_a_row": bytes_a_row(settings, truth.sample.vectors.shape[1]),
            "build_seconds": round(built, 1),
            "recall_at_10": round(float(np.mean(recalls)), 4),
            "search_ms": {"p50": round(float(p50), 3), "p95": round(float(p95), 3)},
        }
    )


def _fill(
    index: MilvusIndex,
    collection: str,
    settings: IndexSettings,
    sample: Sample,
    progress: Callable[[float], None],
) -> None:
    rows = len(sample.keys)
    index.create(collection, sample.vectors.shape[1], settings)
    for start in range(0, rows, ROWS_A_MESSAGE):
        progress(_FILLED * start / rows)
        stop = min(start + ROWS_A_MESSAGE, rows)
        index.upsert(collection, sample.read(start, stop), sample.vectors[start:stop])
    progress(_FILLED)


def _search(
    index: MilvusIndex, collection: str, settings: IndexSettings, truth: Truth, check: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Milliseconds and recall of each query."""
    queries = truth.sample.queries
    search = partial(index.search, collection, settings=settings)
    # At once: a server may make the first strong read wait for its next tick.
    search(queries[:WARM_UP_SEARCHES], RECALL_AT, strong=True)
    answers, times = time_searches(search, queries, check)
    return times, [truth.recall(number, hits) for number, hits in enumerate(answers)]


def _give_up(index: MilvusIndex, collection: str) -> None:
    """Drops what a trial leaves that ends badly; what ended it is what is raised."""
    try:
        index.drop(collection)
    except EmbedloopError as error:
        log.warning("the scratch collection %s is left to the reconciler: %s", collection, error)
