"""Micro-batching of searches in two stages, so that encoding the next batch overlaps with searching this one.

Stage 1 encodes queries that came together; stage 2 searches Milvus and lets the catalog have the last word on
every hit. A query carries its Serving from the moment it was accepted.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from embedloop.catalog.database import Database
from embedloop.encoder import Vectors
from embedloop.errors import EmbedloopError, InvalidInput, Unavailable
from embedloop.fusion import EVEN
from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit
from service.admission import Admission
from service.metrics import Metrics
from service.queries import Answer, Query, fail
from service.ranking import live_only, ranked, wider_limit
from service.reranking import RerankStage
from service.verifying import Verifier

log = logging.getLogger(__name__)

PROBE = "a probe"
JOIN_SECONDS = 15.0
HAND_OVER_SECONDS = 0.5
# Encoded batches that may wait for the search stage: more would only grow old there.
ENCODED_AHEAD = 1


class Searcher(Protocol):
    """What the search stage asks of Milvus; see `embedloop.index.MilvusIndex.search`."""

    def search(
        self,
        collection: str,
        vectors: Vectors,
        limit: int,
        *,
        settings: IndexSettings,
        filter_expression: str = "",
        strong: bool = False,
        timeout_seconds: float | None = None,
        words: Sequence[str] | None = None,
        bm25_weight: float = EVEN,
    ) -> list[list[Hit]]: ...


@dataclass(frozen=True, slots=True)
class _Encoded:
    queries: list[Query]
    vectors: Vectors


class Batcher:
    """Takes queries from any thread and answers through their futures."""

    def __init__(
        self,
        database: Database,
        index: Searcher,
        metrics: Metrics,
        *,
        max_batch: int,
        max_wait_ms: float,
        max_queue: int,
        max_queue_ms: float,
        timeout_seconds: float,
    ):
        self._index = index
        self._verifier = Verifier(database)
        self._reranking = RerankStage(metrics)
        self._metrics = metrics
        self._max_batch = max_batch
        self._max_wait_seconds = max_wait_ms / 1000
        self._timeout_seconds = timeout_seconds
        self._admission = Admission(max_batch=max_batch, max_queue=max_queue, max_queue_ms=max_queue_ms)
        self._waiting: queue.SimpleQueue[Query | None] = queue.SimpleQueue()
        self._encoded: queue.Queue[_Encoded | None] = queue.Queue(ENCODED_AHEAD)
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, args=(stage,), name=name, daemon=True)
            for name, stage in (("encode", self._encode_stage), ("search", self._search_stage))
        ]
        self.fault: str | None = None

    def start(self) -> None:
        self._reranking.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Answers what was accepted, then ends; what is left after a while fails as unavailable."""
        with self._lock:
            self._closed = True
        deadline = time.monotonic() + JOIN_SECONDS
        self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._reranking.stop(timeout_seconds=max(0.0, deadline - time.monotonic()))
        self._fail_waiting()

    @property
    def waiting(self) -> int:
        """Queries that no stage has taken yet."""
        return self._waiting.qsize()

    def check_room(self) -> None:
        """Raises QueueFull when a query that came now would be refused."""
        self._admission.check(self._waiting.qsize())

    def submit(self, query: Query) -> Future[Answer]:
        """Accepts a query.

        Raises:
            QueueFull: it would wait for longer than `max_queue_ms`, or behind `max_queue` others.
            Unavailable: a stage has died, or the service is stopping.
        """
        with self._lock:
            if self._closed:
                raise Unavailable(self.fault or "this replica is stopping", retry_after_seconds=2)
            self.check_room()
            self._waiting.put(query)
        return query.future

    def _run(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except BaseException as error:
            log.exception("a search stage died")
            self._mark_dead(error)
            self._fail_waiting()

    def _encode_stage(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                with self._failing(batch):
                    self._encode(batch)
        finally:
            self._encoded.put(None)

    def _next_batch(self) -> list[Query] | None:
        """The queries that wait, after `max_wait_ms` for company; None at the end."""
        first = self._waiting.get()
        if first is None:
            return None
        batch = [first]
        deadline = time.perf_counter() + self._max_wait_seconds
        while len(batch) < self._max_batch:
            try:
                following = self._waiting.get(timeout=max(0.0, deadline - time.perf_counter()))
            except queue.Empty:
                break
            if following is None:
                self._waiting.put(None)
                break
            batch.append(following)
        return batch

    def _encode(self, batch: Sequence[Query]) -> None:
        groups: dict[int, list[Query]] = defaultdict(list)
        for query in batch:
            if not query.future.cancelled():
                groups[id(query.serving.encoder)].append(query)
        for queries in groups.values():
            begin = time.perf_counter()
            self._metrics.batch_size.observe(len(queries))
            for query in queries:
                query.took_ms["queue"] = 1000 * (begin - query.accepted_at)
            encoded = self._encode_together(queries)
            seconds = time.perf_counter() - begin
            self._metrics.stages.labels("encode").observe(seconds)
            self._admission.record("encode", seconds, len(queries))
            for query in queries:
                query.took_ms["encode"] = 1000 * seconds
            if encoded is not None:
                self._hand_over(encoded)

    def _encode_together(self, queries: list[Query]) -> _Encoded | None:
        """Encodes queries of one encoder; one that cannot be encoded fails alone."""
        encoder = queries[0].serving.encoder
        try:
            return _Encoded(queries, encoder.encode_queries([q.text for q in queries]))
        # Anything can go wrong inside a tokenizer or a graph on hostile text.
        except Exception as error:
            if len(queries) == 1:
                fail(queries[0], self._blamed(queries[0], error))
                return None
            log.warning("a batch of %d queries could not be encoded: %s", len(queries), error)
        for query in queries:
            if (alone := self._encode_together([query])) is not None:
                self._hand_over(alone)
        return None

    def _hand_over(self, encoded: _Encoded) -> None:
        """Gives a batch to the search stage; if that has died, the batch fails instead of waiting for ever.

        When nobody waits to be encoded there is nothing to overlap with: the batch is searched here, which
        saves waking a thread.
        """
        if self.fault is None and self._waiting.empty():
            self._search(encoded)
            return
        while self.fault is None:
            try:
                self._encoded.put(encoded, timeout=HAND_OVER_SECONDS)
                return
            except queue.Full:
                continue
        for query in encoded.queries:
            fail(query, Unavailable(self.fault, retry_after_seconds=2))

    def _blamed(self, query: Query, error: Exception) -> Exception:
        """Whether the query or the encoder is at fault: a healthy encoder takes the probe."""
        if isinstance(error, EmbedloopError):
            return error
        try:
            query.serving.encoder.encode_queries([PROBE])
        except Exception:
            log.exception("the encoder of model version %s fails", query.serving.model.model_id)
            return Unavailable("the encoder fails on every query", retry_after_seconds=5)
        return InvalidInput(f"query cannot be encoded ({type(error).__name__})", field="query")

    def _search_stage(self) -> None:
        while (encoded := self._encoded.get()) is not None:
            with self._failing(encoded.queries):
                self._search(encoded)

    def _search(self, encoded: _Encoded) -> None:
        rows = {id(query): row for row, query in enumerate(encoded.queries)}
        groups: dict[tuple[str, str, bool, int, float], list[Query]] = defaultdict(list)
        for query in encoded.queries:
            if not query.future.cancelled():
                collection, weight = query.serving.version.collection, query.serving.bm25_weight
                groups[collection, query.filter_expression, query.strong, query.wanted, weight].append(query)
        found: list[tuple[Query, list[Hit]]] = []
        for (_, _, _, limit, _), queries in groups.items():
            vectors = encoded.vectors[[rows[id(q)] for q in queries]]
            found += self._search_together(queries, vectors, limit)
        for query in self._finish(found):
            vector = encoded.vectors[[rows[id(query)]]]
            wider = self._search_together([query], vector, wider_limit(query.wanted))
            self._finish(wider, last=True)

    def _search_together(
        self, queries: Sequence[Query], vectors: Vectors, limit: int
    ) -> list[tuple[Query, list[Hit]]]:
        """One Milvus call for queries that differ in nothing but their vectors; on failure all of them fail."""
        first = queries[0]
        begin = time.perf_counter()
        try:
            hits = self._index.search(
                first.serving.version.collection,
                vectors,
                limit,
                settings=first.serving.version.index,
                filter_expression=first.filter_expression,
                strong=first.strong,
                timeout_seconds=self._timeout_seconds,
                words=[query.text for query in queries] if first.serving.version.index.bm25 else None,
                bm25_weight=first.serving.bm25_weight,
            )
        except EmbedloopError as error:
            if isinstance(error, InvalidInput) and first.filter_expression:
                error.field = "filter"
            for query in queries:
                fail(query, error)
            return []
        seconds = time.perf_counter() - begin
        self._metrics.stages.labels("search").observe(seconds)
        self._admission.record("search", seconds, len(queries))
        for query in queries:
            query.took_ms["search"] = query.took_ms.get("search", 0.0) + 1000 * seconds
        return list(zip(queries, hits, strict=True))

    def _finish(self, found: Sequence[tuple[Query, list[Hit]]], *, last: bool = False) -> list[Query]:
        """Drops what is not live and answers; returns the queries that deserve a wider search."""
        if not found:
            return []
        begin = time.perf_counter()
        live = self._verifier.live_revs((q.serving.corpus, hits) for q, hits in found)
        seconds = time.perf_counter() - begin
        self._metrics.stages.labels("verify").observe(seconds)
        short = []
        for query, hits in found:
            query.took_ms["verify"] = query.took_ms.get("verify", 0.0) + 1000 * seconds
            kept = hits if live is None else live_only(hits, live[query.serving.corpus])
            if not last and len(kept) < query.top_k and len(hits) >= query.wanted:
                short.append(query)
                continue
            best = ranked(kept, query.serving.boosts)
            if query.serving.reranking is None:
                query.answer(best, verified=live is not None)
            else:
                self._reranking.submit(query, best, verified=live is not None)
        return short

    @contextmanager
    def _failing(self, queries: Sequence[Query]) -> Iterator[None]:
        """Fails a batch's queries with whatever is raised; only what is no `Exception` ends the stage."""
        try:
            yield
        except Exception as error:
            log.exception("a batch of searches failed")
            for query in queries:
                fail(query, error)
        except BaseException as error:
            self._mark_dead(error)
            for query in queries:
                fail(query, Unavailable(self.fault or "", retry_after_seconds=2))
            raise

    def _mark_dead(self, error: BaseException) -> None:
        with self._lock:
            self._closed = True
            self.fault = f"a search stage died: {type(error).__name__}"

    def _fail_waiting(self) -> None:
        """Fails what no stage will take any more."""
        error = Unavailable(self.fault or "this replica is stopping", retry_after_seconds=2)
        while True:
            try:
                query = self._waiting.get_nowait()
            except queue.Empty:
                break
            if query is not None:
                fail(query, error)
        while True:
            try:
                encoded = self._encoded.get_nowait()
            except queue.Empty:
                break
            for query in encoded.queries if encoded is not None else ():
                fail(query, error)
