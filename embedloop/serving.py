"""The frozen Serving that one request uses from start to end, and how a replica moves to the next one."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from embedloop.catalog import corpora, index_versions, models, promotions
from embedloop.catalog.database import Database
from embedloop.encoder import Encoder
from embedloop.errors import EmbedloopError, NotFound, NotReady, Unavailable
from embedloop.fusion import EVEN
from embedloop.index import MilvusIndex
from embedloop.loading import Loader
from embedloop.policy import Boost, Policy
from embedloop.records.documents import Corpus
from embedloop.records.versions import IndexVersion, ModelVersion
from embedloop.registry import ModelStore, load_encoder
from embedloop.reranker import Reranker
from embedloop.reranking import Rerankers, ServingReranker
from embedloop.second_stage import Rescorers

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 3.0
# A load that takes longer goes on; who waited for it is told that the corpus is not ready.
REFRESH_SECONDS = 60.0
WARM_UP_TEXTS = ("warm up", "a second text to warm the encoder with")


@dataclass(frozen=True, slots=True)
class Serving:
    """Index version, its model's encoder, its physical collection, a re-ranker: taken once by each request.

    `rescorer` is the model's own second stage; the policy's re-ranker takes its place.
    """

    corpus: str
    version: IndexVersion
    model: ModelVersion
    encoder: Encoder
    boosts: tuple[Boost, ...] = ()
    bm25_weight: float = EVEN
    reranking: ServingReranker | None = None
    rescorer: Reranker | None = None

    @property
    def policys_reranking(self) -> ServingReranker | None:
        """What the policy named to re-rank; None where that is nothing or the model's own second stage."""
        own = self.reranking is not None and self.reranking.model_id == self.model.model_id
        return None if own else self.reranking

    def under(self, policy: Policy, reranking: ServingReranker | None) -> Serving:
        """The same version as this policy lets it rank: what counts without a new build."""
        if reranking is None and self.rescorer is not None:
            wish = policy.reranking
            reranking = ServingReranker(self.model.model_id, self.rescorer, wish.depth, wish.budget_ms)
        wanted = (policy.boosts, policy.bm25_weight, reranking)
        if (self.boosts, self.bm25_weight, self.reranking) == wanted:
            return self
        return replace(self, boosts=policy.boosts, bm25_weight=policy.bm25_weight, reranking=reranking)


@dataclass
class EncoderCache:
    """Encoders by model version; one model that two corpora share is loaded once.

    Attributes:
        store: Where the files are.
        threads: Of one encoder.
        batch_size: Of one encoder.
        capacity: How many are kept, the least recently used going first; None keeps what `keep` says.
        bulk: They encode many texts rather than one soon.
    """

    store: ModelStore
    threads: int
    batch_size: int
    capacity: int | None = None
    bulk: bool = False
    _loaded: OrderedDict[str, Encoder] = field(default_factory=OrderedDict)
    _loading: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, model: ModelVersion) -> Encoder:
        """Loads it unless it is there; a slow load holds up only those who want the same model.

        Raises:
            ModelRefused: the files differ from the manifest.
        """
        with self._lock:
            loading = self._loading.setdefault(model.model_id, threading.Lock())
        with loading:
            found = self._find(model.model_id)
            if found is None:
                found = load_encoder(
                    self.store, model, threads=self.threads, batch_size=self.batch_size, bulk=self.bulk
                )
                self._add(model.model_id, found)
            return found

    def keep(self, model_ids: set[str]) -> None:
        """Drops every other encoder; requests in flight hold their own reference."""
        with self._lock:
            for model_id in set(self._loaded) - model_ids:
                del self._loaded[model_id]

    def _find(self, model_id: str) -> Encoder | None:
        with self._lock:
            if model_id in self._loaded:
                self._loaded.move_to_end(model_id)
            return self._loaded.get(model_id)

    def _add(self, model_id: str, encoder: Encoder) -> None:
        with self._lock:
            self._loaded[model_id] = encoder
            # Who finds it loaded needs no lock of its own.
            self._loading.pop(model_id, None)
            while self.capacity is not None and len(self._loaded) > self.capacity:
                self._loaded.popitem(last=False)


class Replica:
    """What one service process serves; a thread follows the catalog by polling.

    A request calls `serving()` once. A swap replaces one reference, so that an answer is wholly of one
    version. It learns of a swap within `poll_seconds`, and needs no broker for that. Versions are loaded
    beside the polling thread: while one takes long, the replica goes on with what it has, renews its lease, and
    moves its other corpora. When the catalog cannot be reached it goes on until its lease ends.
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
        self._rerankers = Rerankers(database, encoders.store, threads=encoders.threads)
        self._rescorers = Rescorers(encoders.store, threads=encoders.threads)
        self._poll_seconds = poll_seconds
        self._lease_seconds = lease_seconds
        self._servings: Mapping[str, Serving | None] = {}
        self._prepared: dict[str, Serving] = {}
        self._told: dict[str, tuple[str | None, str | None]] = {}
        self._told_at = 0.0
        self._renewed_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="replica", daemon=True)
        self._looking = threading.Lock()
        self._loader: Loader[Serving] = Loader()
        self._unloaded: dict[str, str] = {}
        self._warming: list[Future[Reranker]] = []
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
        self._loader.close()
        self._rerankers.close()
        try:
            with self._database.write() as connection:
                promotions.leave(connection, self.replica_id)
        except Unavailable as error:
            log.warning("the leases of %s end by themselves: %s", self.replica_id, error)

    def serving(self, corpus: str) -> Serving:
        """The serving of this moment.

        Raises:
            NotFound: there is no such corpus.
            NotReady: its first index version is being built, or loaded here.
            Unavailable: the replica's lease ended while the catalog was away, or the version in charge could
                never be loaded here.
        """
        if self._is_lapsed():
            raise Unavailable("this replica lost touch with the catalog", retry_after_seconds=5)
        if corpus not in self._servings:
            self._look()
        if corpus not in self._servings:
            raise NotFound(f"there is no corpus {corpus!r}", field="corpus")
        serving = self._servings[corpus]
        if serving is None and corpus in self._unloaded:
            raise Unavailable(
                f"corpus {corpus!r} cannot be served here: {self._unloaded[corpus]}", retry_after_seconds=5
            )
        if serving is None:
            raise NotReady(
                f"the first index version of corpus {corpus!r} is being built or loaded",
                field="corpus",
                retry_after_seconds=2,
            )
        return serving

    def refresh(self, corpus: str | None = None) -> None:
        """Looks at the catalog, and waits until what serves now is loaded: of this corpus, or of all.

        Raises:
            Unavailable: the catalog does not answer.
        """
        loads = self._look()
        awaited: list[Future[Any]] = [load for name, load in loads.items() if corpus in (None, name)]
        awaited += self._warming if corpus is None else []
        if awaited:
            wait(awaited, timeout=REFRESH_SECONDS)
            self._look()

    def _look(self) -> Mapping[str, Future[Serving]]:
        """Moves every corpus to what serves now and is loaded; returns the loads of what is not, by corpus."""
        with self._looking:
            with self._database.read() as connection:
                # In this order: a promotion published between the two reads is seen by at least one of them.
                candidates = {name: p.candidate for name, p in promotions.preparing(connection).items()}
                wanted = corpora.every(connection)
            named = (c.policy.reranking.model for c in wanted)
            self._warming = self._rerankers.want({model_id for model_id in named if model_id is not None})
            if self._is_lapsed():
                # What it held may have been dropped: nothing but what serves now is answered from again.
                self._servings = {c.name: self._held_as(c.name, c.serving) for c in wanted}
            loads: dict[str, Future[Serving]] = {}
            faults: list[str] = []
            self._servings = {c.name: self._moved(c, loads, faults) for c in wanted}
            self._prepared = {n: s for n, s in self._prepared.items() if n in candidates}
            for corpus in wanted:
                if corpus.name in candidates:
                    self._prepare(corpus.name, candidates[corpus.name])
            self.fault = "; ".join(faults) or None
            self._tell()
            self._forget({*candidates.values(), *(c.serving for c in wanted if c.serving is not None)})
            return loads

    def _moved(self, corpus: Corpus, loads: dict[str, Future[Serving]], faults: list[str]) -> Serving | None:
        """A version that is not or cannot be loaded leaves this corpus where it is and the others untouched."""
        if corpus.serving is None:
            return None
        held = self._held_as(corpus.name, corpus.serving)
        if held is None:
            load = self._ask(corpus.name, corpus.serving)
            if not load.done():
                loads[corpus.name] = load
                return self._servings.get(corpus.name)
            try:
                held = self._fetch(corpus.serving, load)
            except Exception as error:
                told = _told(error)
                log.warning(
                    "replica %s cannot serve %s: %s",
                    self.replica_id,
                    corpus.serving,
                    told,
                    exc_info=_foreign(error),
                )
                faults.append(f"corpus {corpus.name}: {told}")
                self._unloaded[corpus.name] = told
                return self._servings.get(corpus.name)
        self._unloaded.pop(corpus.name, None)
        present = self._servings.get(corpus.name)
        reranking = None if present is None else present.policys_reranking
        return held.under(corpus.policy, self._rerankers.offer(corpus.policy.reranking, reranking))

    def _prepare(self, corpus: str, candidate: str) -> None:
        """A candidate that cannot be loaded is no fault of this replica: its promotion will be called off."""
        if self._held_as(corpus, candidate) is not None:
            return
        load = self._ask(corpus, candidate)
        if not load.done():
            return
        try:
            self._prepared[corpus] = self._fetch(candidate, load)
        except Exception as error:
            told = _told(error)
            log.warning(
                "replica %s cannot prepare %s: %s", self.replica_id, candidate, told, exc_info=_foreign(error)
            )

    def _is_lapsed(self) -> bool:
        return time.monotonic() - self._renewed_at > self._lease_seconds

    def _held_as(self, corpus: str, index_version_id: str | None) -> Serving | None:
        """This version, if the replica has it already."""
        for held in (self._servings.get(corpus), self._prepared.get(corpus)):
            if held is not None and self._held(held) == index_version_id:
                return held
        return None

    def _ask(self, corpus: str, index_version_id: str) -> Future[Serving]:
        return self._loader.ask(index_version_id, partial(self._load, corpus, index_version_id))

    def _fetch(self, index_version_id: str, load: Future[Serving]) -> Serving:
        """What was loaded; raises what the load raised, and then the next look tries anew."""
        self._loader.forget(index_version_id)
        return load.result()

    def _load(self, corpus: str, index_version_id: str) -> Serving:
        with self._database.read() as connection:
            version = index_versions.get(connection, index_version_id)
            model = models.get(connection, version.model_id)
        encoder = self._encoders.get(model)
        vectors = encoder.encode_queries(WARM_UP_TEXTS)
        self._index.search(version.collection, vectors, 1, settings=version.index)
        return Serving(corpus, version, model, encoder, rescorer=self._rescorers.get(model))

    def _forget(self, wanted: set[str]) -> None:
        """Lets go of loads and encoders that nothing needs any more."""
        self._loader.keep(wanted)
        if self._loader.idle:
            used = [s for s in (*self._servings.values(), *self._prepared.values()) if s is not None]
            kept = {s.model.model_id for s in used}
            self._encoders.keep(kept)
            self._rescorers.keep(kept)

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
                self._look()
            except EmbedloopError as error:
                self.fault = error.message
                log.warning("replica %s stays with what it serves: %s", self.replica_id, error)
            except Exception as error:
                self.fault = f"{type(error).__name__}"
                log.exception("replica %s could not refresh", self.replica_id)

    @staticmethod
    def _held(serving: Serving | None) -> str | None:
        return None if serving is None else serving.version.index_version_id


def _told(error: Exception) -> str:
    """What may be shown of an error; one that is not ours may hold anything."""
    return type(error).__name__ if _foreign(error) else str(error)


def _foreign(error: Exception) -> bool:
    return not isinstance(error, EmbedloopError)
