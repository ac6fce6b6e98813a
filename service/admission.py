"""How many searches may wait: as many as will be encoded soon, by what the stages managed lately."""

from __future__ import annotations

import threading

from embedloop.errors import QueueFull

# Queries after which what a stage managed before is forgotten.
REMEMBERED_QUERIES = 16


class Admission:
    """Refuses a search that would wait too long, so that past saturation the others stay fast.

    A queue of fixed length is short on a fast machine and minutes long on a slow one; what counts is the time
    that a search would spend in it. What fits the next batch is always let in, so that one slow batch refuses
    nobody after it.
    """

    def __init__(self, *, max_batch: int, max_queue: int, max_queue_ms: float):
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._max_seconds = max_queue_ms / 1000
        self._seconds_per_query: dict[str, float] = {}
        self._lock = threading.Lock()

    def record(self, stage: str, seconds: float, queries: int) -> None:
        """A stage took so long for a batch of so many queries."""
        share = min(1.0, queries / REMEMBERED_QUERIES)
        with self._lock:
            before = self._seconds_per_query.get(stage, seconds / queries)
            self._seconds_per_query[stage] = (1 - share) * before + share * seconds / queries

    def expected_wait(self, waiting: int) -> float:
        """Seconds until a query behind so many others is encoded; the slowest stage sets the pace."""
        with self._lock:
            return waiting * max(self._seconds_per_query.values(), default=0.0)

    def check(self, waiting: int) -> None:
        """Raises QueueFull when one query more than those that wait is too many."""
        if waiting < min(self._max_batch, self._max_queue):
            return
        wait = self.expected_wait(waiting)
        if waiting >= self._max_queue or wait > self._max_seconds:
            raise QueueFull(f"{waiting} searches wait already, for about {wait:.1f} s", retry_after_seconds=1)
