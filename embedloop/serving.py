"""The frozen Serving that one request uses from start to end, and how a replica moves to the next one."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from embedloop.catalog import corpora, index_versions, models, promotions
from embedloop.catalog.database import Database
from embedloop.encoder import Encoder
from embedloop.errors import EmbedloopError, NotFound, NotReady, Unavailable
from embedloop.index import MilvusIndex
from embedloop.policy import Boost
from embedloop.records import Corpus, IndexVersion, ModelVersion
from embedloop.registry import ModelStore, load_encoder

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 3.0
WARM_UP_TEXTS = ("warm up", "a second text to warm the encoder with")


@dataclass(frozen=True, slots=True)
class Serving:
    """Index version, its own model's encoder, its physical collection: taken once by each request."""

    corpus: str
    version: IndexVersion
    model: ModelVersion
    encoder: Encoder
    boosts: tuple[Boost, ...] = ()


@dataclass
class EncoderCache:
    """Encoders by model version; one model that two corpora share is loaded once.

    Attributes:
        store: Where the files are.
        threads: Of one encoder.
        batch_size: Of one encoder.
        capacity: How many are kept, the least recently used going first; None keeps what `keep` says.
    """

    store: ModelStore
    threads: int
    batch_size: int
    capacity: int | None = None
    _loaded: OrderedDict[str, Encoder] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, model: ModelVersion) -> Encoder:
        """Raises ModelRefused when the files differ from the manifest."""
        with self._lock:
            if model.model_id not in self._loaded:
                self._loaded[model.model_id] = load_encoder(
                    self.store, model, threads=self.threads, batch_size=self.batch_size
                )
            self._loaded.move_to_end(model.model_id)
            while self.capacity is not None and len(self._loaded) > self.capacity:
                self._loaded.popitem(last=False)
            return self._loaded[model.model_id]

    def keep(self, model_ids: set[str]) -> None:
        """Drops every other encoder; requests in flight hold their own reference."""
        with self._lock:
            for model_id in set(self._loaded) - model_ids:
                del self._loaded[model_id]


class Replica:
    """What one service process serves; a thread follows the catalog by polling.

    A request calls `serving()` once. A swap replaces one reference, so that an answer is wholly of one
    version. When the catalog cannot be reached the replica goes on until its lease ends.
    """

    def __init__(
        self,
        replica_id: str,
        database: Database,
        index: MilvusIndex,
        encoders: EncoderCache,
        *,
        poll_seconds: float,
        lease_seconds: float,
    ):
        self.replica_id = replica_id
        self._database = database
        self._index = index
        self._encoders = encoders
        self._poll_seconds = poll_seconds
        self._lease_seconds = lease_seconds
        self._servings: Mapping[str, Serving | None] = {}
        self._prepared: dict[str, Serving] = {}
        self._told: dict[str, tuple[str | None, str | None]] = {}
        self._told_at = 0.0
        self._renewed_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="replica", daemon=True)
        self._refreshing = threading.Lock()
        self._unloaded: dict[str, str] = {}
        self.fault: str | None = None

    def start(self) -> None:
        """Loads what serves now, then follows; what cannot be loaded is in `fault` and refused by `serving`.

        Raises:
            Unavailable: the catalog does not answer.
        """
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """Ends following and gives the leases back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        try:
            with self._database.write() as connection:
                promotions.leave(connection, self.replica_id)
        except Unavailable as error:
            log.warning("the leases of %s end by themselves: %s", self.replica_id, error)

    def serving(self, corpus: str) -> Serving:
        """The serving of this moment.

        Raises:
            NotFound: there is no such corpus.
            NotReady: its first index version is being built.
            Unavailable: the replica's lease ended while the catalog was away, or the version in charge could
                never be loaded here.
        """
        if time.monotonic() - self._renewed_at > self._lease_seconds:
            raise Unavailable("this replica lost touch with the catalog", retry_after_seconds=5)
        if corpus not in self._servings:
            self.refresh()
        if corpus not in self._servings:
            raise NotFound(f"there is no corpus {corpus!r}", field="corpus")
        serving = self._servings[corpus]
        if serving is None and corpus in self._unloaded:
            raise Unavailable(
                f"corpus {corpus!r} cannot be served here: {self._unloaded[corpus]}", retry_after_seconds=5
            )
        if serving is None:
            raise NotReady(
                f"the first index version of corpus {corpus!r} is being built",
                field="corpus",
                retry_after_seconds=2,
            )
        return serving

    def refresh(self) -> None:
        """Looks at the catalog once and moves every corpus to what serves now."""
        with self._refreshing:
            with self._database.read() as connection:
                # In this order: a promotion published between the two reads is seen by at least one of them.
                candidates = promotions.preparing(connection)
                wanted = corpora.every(connection)
            faults: list[str] = []
            self._servings = {corpus.name: self._moved(corpus, faults) for corpus in wanted}
            self._prepared = {n: s for n, s in self._prepared.items() if n in candidates}
            for corpus in wanted:
                if corpus.name in candidates:
                    self._prepare(corpus, candidates[corpus.name].candidate)
            self.fault = "; ".join(faults) or None
            self._tell()
            used = [s for s in (*self._servings.values(), *self._prepared.values()) if s is not None]
            self._encoders.keep({s.model.model_id for s in used})

    def _moved(self, corpus: Corpus, faults: list[str]) -> Serving | None:
        """A version that cannot be loaded leaves this corpus where it is and the others untouched."""
        try:
            serving = self._serving_of(corpus)
        except EmbedloopError as error:
            log.warning("replica %s cannot serve %s: %s", self.replica_id, corpus.serving, error)
            faults.append(f"corpus {corpus.name}: {error.message}")
            self._unloaded[corpus.name] = error.message
            return self._servings.get(corpus.name)
        self._unloaded.pop(corpus.name, None)
        return serving

    def _prepare(self, corpus: Corpus, candidate: str) -> None:
        """A candidate that cannot be loaded is no fault of this replica: its promotion will be called off."""
        if self._held(self._prepared.get(corpus.name)) == candidate:
            return
        try:
            self._prepared[corpus.name] = self._load(corpus, candidate)
        except EmbedloopError as error:
            log.warning("replica %s cannot prepare %s: %s", self.replica_id, candidate, error)

    def _serving_of(self, corpus: Corpus) -> Serving | None:
        """What this replica should serve of a corpus; what it has already is kept, not loaded again."""
        if corpus.serving is None:
            return None
        for held in (self._servings.get(corpus.name), self._prepared.get(corpus.name)):
            if held is not None and self._held(held) == corpus.serving:
                if held.boosts == corpus.policy.boosts:
                    return held
                return Serving(corpus.name, held.version, held.model, held.encoder, corpus.policy.boosts)
        return self._load(corpus, corpus.serving)

    def _load(self, corpus: Corpus, index_version_id: str) -> Serving:
        with self._database.read() as connection:
            version = index_versions.get(connection, index_version_id)
            model = models.get(connection, version.model_id)
        encoder = self._encoders.get(model)
        vectors = encoder.encode_queries(WARM_UP_TEXTS)
        self._index.search(version.collection, vectors, 1, settings=version.index)
        return Serving(corpus.name, version, model, encoder, corpus.policy.boosts)

    def _tell(self) -> None:
        """Writes what is held when it has changed, and from time to time as a heartbeat."""
        holds = {
            name: (self._held(serving), self._held(self._prepared.get(name)))
            for name, serving in self._servings.items()
        }
        if holds == self._told and time.monotonic() - self._told_at < HEARTBEAT_SECONDS:
            return
        begin = time.monotonic()
        with self._database.write() as connection:
            for name, (serving, prepared) in holds.items():
                promotions.hold(
                    connection,
                    self.replica_id,
                    name,
                    serving=serving,
                    prepared=prepared,
                    lease_seconds=self._lease_seconds,
                )
        self._told, self._told_at = holds, begin
        # Counted from before the write, so that the lease here never outlives the one in the catalog.
        self._renewed_at = begin

    def _follow(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                self.refresh()
            except EmbedloopError as error:
                self.fault = error.message
                log.warning("replica %s stays with what it serves: %s", self.replica_id, error)
            except Exception as error:
                self.fault = f"{type(error).__name__}"
                log.exception("replica %s could not refresh", self.replica_id)

    @staticmethod
    def _held(serving: Serving | None) -> str | None:
        return None if serving is None else serving.version.index_version_id
