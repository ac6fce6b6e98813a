"""Milvus: collections, aliases, rows, search.

Only `index`, `index_schema`, `index_search` and `milvus_call` import pymilvus.
Scores are cosines, greater is nearer; vectors are `(n, dim)` float32, L2-normalised, however they are stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Event
from typing import Any, TypeVar

import numpy as np
from pymilvus import MilvusClient

from embedloop.capabilities import Capabilities, capabilities_of, every_server_can, server_of
from embedloop.encoder import Vectors
from embedloop.errors import DeadlineExceeded, EmbedloopError, InvalidInput
from embedloop.fusion import EVEN
from embedloop.index_pages import Reading, iterated, paged
from embedloop.index_rows import FIELDS, Row, as_found, as_passage, as_row, messages
from embedloop.index_schema import collection_schema, index_parameters, vector_type_of
from embedloop.index_sealing import Handover, handover
from embedloop.index_search import MAX_WINDOW, Search
from embedloop.milvus_call import call
from embedloop.milvus_errors import NotLoaded
from embedloop.policy import IndexSettings, VectorType
from embedloop.records.documents import Hit, Passage
from embedloop.slices import slices
from embedloop.vector_types import beside, finest_field, packed, unpacked

T = TypeVar("T")

SCAN_ROWS = 1000
SEAL_SECONDS = 300.0
SEAL_LOOK_SECONDS = 0.25
# Without vectors. A server reads all keys for each page, so that few large pages cost less.
SCAN_KEYS = 10_000
# A server that does not tell whether a segment has its index has had time to load it.
UNTOLD_SECONDS = 10.0
_CHANNEL_OPTIONS = {
    # pymilvus pings every 10 s; a gRPC server takes that for an attack and closes the connection.
    "grpc.keepalive_time_ms": 300_000,
    "grpc.keepalive_permit_without_calls": False,
    # gRPC waits ever longer before it connects again, up to two minutes; a restarted Milvus is back in seconds.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
}


class MilvusIndex:
    """A connection to Milvus (Lite server, standalone or cluster: only the URI differs).

    Create it after a fork. Every call has a timeout and raises only Embedloop's errors: CollectionNotFound,
    DeadlineExceeded, Unavailable, InvalidInput for data that Milvus refuses, or Misconfigured for a token that
    it refuses and for a server that is too old.
    """

    def __init__(self, uri: str, *, token: str = "", timeout_seconds: float = 10.0):
        self._timeout = timeout_seconds
        # A physical name is given once, and its vectors stay of one type.
        self._vector_types: dict[str, VectorType] = {}
        self._client: MilvusClient = call(
            lambda: MilvusClient(
                uri=uri, token=token, timeout=timeout_seconds, grpc_options=dict(_CHANNEL_OPTIONS)
            )
        )
        try:
            self.capabilities()
        except EmbedloopError:
            self.close()
            raise

    def close(self) -> None:
        self._client.close()

    def capabilities(self) -> Capabilities:
        """What the server can do, asked anew each time: it may have been upgraded behind the connection.

        Raises:
            Misconfigured: the server is older than what is supported.
        """
        reported = str(call(lambda: self._client.get_server_version(timeout=self._timeout)))
        return capabilities_of(*server_of(reported))

    def require(self, settings: IndexSettings) -> None:
        """Raises InvalidInput, naming the field of the policy, for settings that the server cannot do."""
        if not every_server_can(settings):
            self.capabilities().require(settings)

    def create(self, collection: str, dimension: int, settings: IndexSettings) -> None:
        """Creates, indexes and loads an empty collection; one that is there already keeps its rows.

        Raises:
            InvalidInput: the server cannot do what the settings ask for.
        """
        self.require(settings)
        if not self.exists(collection):
            self._create_bare(collection, dimension, settings)
        # A creation that broke off here is taken up again by the next call.
        if not call(lambda: self._client.list_indexes(collection, timeout=self._timeout)):
            self._index(collection, settings)
        self.load(collection)

    def _create_bare(self, collection: str, dimension: int, settings: IndexSettings) -> None:
        # Searches say how fresh they read; iterators cannot, and take what the collection was made with.
        call(
            lambda: self._client.create_collection(
                collection,
                schema=collection_schema(dimension, settings),
                consistency_level="Strong",
                timeout=self._timeout,
            )
        )

    def _index(self, collection: str, settings: IndexSettings) -> None:
        parameters = index_parameters(settings)
        call(lambda: self._client.create_index(collection, parameters, timeout=max(60.0, self._timeout)))

    def exists(self, collection: str) -> bool:
        return bool(call(lambda: self._client.has_collection(collection, timeout=self._timeout)))

    def collections(self) -> list[str]:
        return list(call(lambda: self._client.list_collections(timeout=self._timeout)))

    def load(self, collection: str) -> None:
        """Makes a collection searchable; Milvus Lite forgets that it was at every restart."""
        call(lambda: self._client.load_collection(collection, timeout=max(60.0, self._timeout)))

    def flush(self, collection: str) -> None:
        """Seals what was written, so that it is indexed instead of scanned."""
        call(lambda: self._client.flush(collection, timeout=max(300.0, self._timeout)))

    def seal(
        self,
        collection: str,
        *,
        timeout_seconds: float = SEAL_SECONDS,
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Flushes, and waits until searches use the finished index for every row.

        A server answers from a coarse interim index until then, and misses near rows.

        Args:
            collection: Physical name.
            timeout_seconds: Longest wait.
            while_waiting: Called between two looks; what it raises ends the wait.

        Raises:
            DeadlineExceeded: the index is not in use in time.
        """
        self.flush(collection)
        self.load(collection)
        pause, begun, handed_over = Event(), time.monotonic(), None
        ask = partial(handover, self._client, collection, self.capabilities().lists_segments, self._timeout)
        while (state := call(ask)) is not Handover.INDEXES:
            now = time.monotonic()
            handed_over = None if state is Handover.PENDING else handed_over or now
            if handed_over is not None and now - handed_over > UNTOLD_SECONDS:
                return
            if now - begun > timeout_seconds:
                raise DeadlineExceeded(
                    f"the index of collection {collection} is not in use after {timeout_seconds:g} s"
                )
            while_waiting()
            pause.wait(SEAL_LOOK_SECONDS)

    def drop(self, collection: str) -> None:
        """Drops a collection; one that is not there is no error. Move the alias away first."""
        self._vector_types.pop(collection, None)
        if self.exists(collection):
            call(lambda: self._client.drop_collection(collection, timeout=max(60.0, self._timeout)))

    def upsert(self, collection: str, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Writes rows in messages of at most 16 MB.

        Args:
            collection: Physical name, never an alias.
            passages: The n passages.
            vectors: (n, dim) float32, L2-normalised.

        Raises:
            InvalidInput: a text is longer than Milvus stores, or a vector is not finite.
        """
        if len(passages) != len(vectors):
            raise InvalidInput(f"{len(passages)} passages need as many vectors, got {len(vectors)}")
        if not np.isfinite(vectors).all():
            raise InvalidInput("a vector must be finite, got NaN or infinity from the encoder")
        vector_type = self._vector_type(collection)
        rows = [
            as_row(passage, vector) | others
            for passage, vector, others in zip(
                passages, packed(vectors, vector_type), beside(vectors, vector_type), strict=True
            )
        ]
        for message in messages(rows, vectors.shape[1] if len(vectors) else 0):
            self._loaded(
                collection,
                partial(self._client.upsert, collection, message, timeout=max(30.0, self._timeout)),
            )

    def delete(self, collection: str, passage_ids: Sequence[str]) -> None:
        """Deletes rows by primary key."""
        for part in slices(passage_ids, SCAN_ROWS):
            self._loaded(
                collection,
                partial(self._client.delete, collection, ids=list(part), timeout=max(30.0, self._timeout)),
            )

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
    ) -> list[list[Hit]]:
        """The nearest passages of each query, the nearest first.

        Args:
            collection: Physical name, never an alias.
            vectors: (n, dim) float32, L2-normalised.
            limit: Hits a query, at most 16384.
            settings: Those that the collection was made with; `ef_search` is raised to the hits asked of Milvus
                where those are more.
            filter_expression: From `embedloop.filters.expression`.
            strong: Read every write that was acknowledged before this search.
            timeout_seconds: Overrides the connection's timeout.
            words: The n queries as text, for a collection with BM25: the best of both searches, fused by their
                ranks. The score is then that of the fusion.
            bm25_weight: Share of the words in the fusion, 0..1. Milvus fuses equal shares; others are fused
                here, from two searches of the same collection.

        Returns:
            For each query its hits; scores are cosines whatever the metric, greater is nearer.
        """
        limit = min(limit, MAX_WINDOW)
        reading: dict[str, Any] = {
            "consistency_level": "Strong" if strong else "Bounded",
            "timeout": timeout_seconds or self._timeout,
        }
        run = partial(self._loaded, collection)
        search = Search(self._client, run, collection, settings, filter_expression, reading)
        if words is None:
            return search.nearest(vectors, limit)
        return search.fused(vectors, words, limit, bm25_weight)

    def count(self, collection: str) -> int:
        """Number of rows, by count(*) with Strong consistency."""
        rows = self._loaded(
            collection,
            lambda: self._client.query(
                collection,
                filter="",
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=max(30.0, self._timeout),
            ),
        )
        return int(rows[0]["count(*)"])

    def present(self, collection: str, passage_ids: Sequence[str]) -> set[str]:
        """Which of these keys the collection holds, with Strong consistency."""
        return {row["passage_id"] for row in self._by_keys(collection, passage_ids, ["passage_id"])}

    def vectors(self, collection: str, passage_ids: Sequence[str]) -> dict[str, Vectors]:
        """Stored vectors `(dim,)` of the keys that the collection holds, with Strong consistency.

        Those of a coarser type are as near to what was written as its finest numbers say.
        """
        vector_type = self._vector_type(collection)
        finest = finest_field(vector_type)
        found: dict[str, Vectors] = {}
        for row in self._by_keys(collection, passage_ids, ["passage_id", finest]):
            found[row["passage_id"]] = unpacked(row[finest], vector_type)
        return found

    def passages(self, collection: str, passage_ids: Sequence[str]) -> dict[str, Passage]:
        """The stored passages of the keys that the collection holds, with Strong consistency."""
        return {row["passage_id"]: as_passage(row) for row in self._by_keys(collection, passage_ids, FIELDS)}

    def scan(self, collection: str, *, with_vectors: bool = False) -> Iterator[list[Row]]:
        """All rows in pages, in no set order and no snapshot: rows written meanwhile may be missing."""
        vector_type = self._vector_type(collection)
        reading = Reading(
            self._client,
            partial(self._loaded, collection),
            collection,
            ["passage_id", "document_id", "rev"] + ([finest_field(vector_type)] if with_vectors else []),
            SCAN_ROWS if with_vectors else SCAN_KEYS,
            max(30.0, self._timeout),
        )
        able = self.capabilities()
        if able.iterator_timestamps:
            pages = iterated(reading)
        else:
            pages = paged(reading, as_of_now=able.orders_every_page)
        for page in pages:
            yield [as_found(row, vector_type) for row in page]

    def point_alias(self, alias: str, collection: str) -> None:
        """Creates the alias or moves it."""
        if self.alias_target(alias) is None:
            try:
                call(lambda: self._client.create_alias(collection, alias, timeout=self._timeout))
                return
            except InvalidInput:
                # Milvus before 2.5.5 keeps the alias of a dropped collection and lists it nowhere.
                pass
        call(lambda: self._client.alter_alias(collection, alias, timeout=self._timeout))

    def alias_target(self, alias: str) -> str | None:
        """The collection that the alias points to, None when there is no such alias."""
        for collection in self.collections():
            if alias in self.aliases(collection):
                return collection
        return None

    def aliases(self, collection: str) -> list[str]:
        """The aliases that point to a collection."""
        listed = call(lambda: self._client.list_aliases(collection, timeout=self._timeout))
        return list(listed["aliases"] if isinstance(listed, dict) else listed)

    def drop_alias(self, alias: str) -> None:
        if self.alias_target(alias) is not None:
            call(lambda: self._client.drop_alias(alias, timeout=self._timeout))

    def _vector_type(self, collection: str) -> VectorType:
        known = self._vector_types.get(collection)
        if known is None:
            described = call(lambda: self._client.describe_collection(collection, timeout=self._timeout))
            known = self._vector_types[collection] = vector_type_of(described)
        return known

    def _by_keys(
        self, collection: str, passage_ids: Sequence[str], fields: list[str]
    ) -> Iterator[dict[str, Any]]:
        for part in slices(passage_ids, SCAN_ROWS):
            yield from self._loaded(collection, partial(self._query_keys, collection, list(part), fields))

    def _query_keys(self, collection: str, keys: list[str], fields: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._client.query(
            collection,
            ids=keys,
            output_fields=fields,
            consistency_level="Strong",
            timeout=max(30.0, self._timeout),
        )
        return rows

    def _loaded(self, collection: str, operation: Callable[[], T]) -> T:
        """Runs the operation; if a restart left the collection released, loads it and runs it once more."""
        try:
            return call(operation)
        except NotLoaded:
            self.load(collection)
            return call(operation)
