"""The re-ranker that a Serving carries, and how a replica comes by it."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from embedloop.catalog import models
from embedloop.catalog.database import Database
from embedloop.errors import EmbedloopError
from embedloop.loading import Loader
from embedloop.recipe.reranking import Reranking
from embedloop.registry import ModelStore
from embedloop.reranker import Reranker
from embedloop.rerankers import load_reranker

log = logging.getLogger(__name__)

# What could not be loaded is tried again after so long: a replica looks several times a second.
RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ServingReranker:
    """A loaded re-ranker: of the best `depth` live hits it scores as many as fit into `budget_ms`.

    Its order of them counts `weight`, 0..1, that of the search the rest.
    """

    model_id: str
    reranker: Reranker
    depth: int
    budget_ms: float
    weight: float = 1.0


class Rerankers:
    """Re-rankers by model version, loaded and warmed beside the thread that asks for them."""

    def __init__(self, database: Database, store: ModelStore, *, threads: int):
        self._database = database
        self._store = store
        self._threads = threads
        self._loaded: dict[str, Reranker] = {}
        self._tried_again_at: dict[str, float] = {}
        self._loader: Loader[Reranker] = Loader(threads=1)
        self._loads: dict[str, Future[Reranker]] = {}

    def want(self, model_ids: set[str]) -> list[Future[Reranker]]:
        """Begins to load what is missing, and drops what is not wanted; requests in flight hold their own.

        Returns:
            What is being loaded.
        """
        self._loader.keep(model_ids)
        for model_id in set(self._loaded) - model_ids:
            del self._loaded[model_id]
        now = time.monotonic()
        resting = {model_id for model_id, at in self._tried_again_at.items() if at > now}
        missing = sorted(model_ids - set(self._loaded) - resting)
        self._loads = {one: self._loader.ask(one, partial(self._load, one)) for one in missing}
        return [load for load in self._loads.values() if not load.done()]

    def offer(self, wanted: Reranking, present: ServingReranker | None) -> ServingReranker | None:
        """What a policy asks for once it is loaded, and until then what there is at present.

        Answers go on without one that cannot be loaded; `want` tries it again.
        """
        if wanted.model is None:
            return None
        self._fetch(wanted.model)
        reranker = self._loaded.get(wanted.model)
        if reranker is None:
            return present
        return ServingReranker(wanted.model, reranker, wanted.depth, wanted.budget_ms, wanted.weight)

    def close(self) -> None:
        self._loader.close()

    def _fetch(self, model_id: str) -> None:
        """Takes what was loaded; of what could not be, the log tells once before it is tried again."""
        load = self._loads.get(model_id)
        if load is None or not load.done():
            return
        self._loader.forget(model_id)
        del self._loads[model_id]
        try:
            self._loaded[model_id] = load.result()
        except Exception as error:
            foreign = not isinstance(error, EmbedloopError)
            log.warning("nothing is re-ranked by %s: %s", model_id, error, exc_info=foreign)
            self._tried_again_at[model_id] = time.monotonic() + RETRY_SECONDS

    def _load(self, model_id: str) -> Reranker:
        with self._database.read() as connection:
            model = models.get(connection, model_id)
        return load_reranker(self._store, model, threads=self._threads)
