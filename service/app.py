"""The FastAPI app: the only place of this process where adapters are made."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from types import FrameType
from typing import TypeVar

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from embedloop.catalog import corpora, documents, index_versions
from embedloop.catalog.database import Database
from embedloop.errors import Conflict, DeadlineExceeded, EmbedloopError, Unavailable
from embedloop.index import MilvusIndex
from embedloop.queue import TaskQueue
from embedloop.registry import ModelStore
from embedloop.serving import EncoderCache, Replica
from embedloop.settings import Settings
from service.auth import KeyRing
from service.batching import Batcher
from service.embedding import Embedder
from service.keyfiles import ensure_admin_key, secret_key
from service.metrics import MeasuredRequests, Metrics
from service.openapi import DESCRIPTION, TAGS, Api, operation_id
from service.problems import add_handlers
from service.routes import bulk, embeddings, feedback, health, jobs, labels, lineage, models, search
from service.routes import corpora as corpus_routes
from service.routes import documents as document_routes
from service.routes import index_versions as version_routes
from service.spool import Spool
from service.state import Service
from service.waking import Waker

log = logging.getLogger(__name__)

T = TypeVar("T")

START_SECONDS = 90.0
RETRY_SECONDS = 0.5


def create() -> FastAPI:
    """The app with settings from the environment: `uvicorn service.app:create --factory`."""
    return create_app(Settings())


def create_app(settings: Settings) -> FastAPI:
    """The app; its adapters are made when it starts, and given back when it ends."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = await run_in_threadpool(build, settings, metrics)
        app.state.service = service
        # What is here now stays: a full collection need not look at it, and stops no search for long.
        gc.collect()
        gc.freeze()
        with _told_of_sigterm(service):
            try:
                yield
            finally:
                service.stopping.set()
                await run_in_threadpool(shut_down, service)

    app = Api(
        title="Embedloop",
        version=version("embedloop"),
        summary="Retrieval whose embedding model keeps learning one team's language.",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    add_handlers(app)
    app.add_middleware(MeasuredRequests, metrics=metrics)
    # Streamed routes first: `documents:bulk` is no document.
    for part in (
        bulk,
        labels,
        corpus_routes,
        document_routes,
        search,
        feedback,
        jobs,
        models,
        lineage,
        version_routes,
        embeddings,
    ):
        app.include_router(part.router)
    app.include_router(health.router)
    return app


def build(settings: Settings, metrics: Metrics) -> Service:
    """Makes every adapter and starts the threads; what is not there yet is waited for, up to `START_SECONDS`.

    Raises:
        EmbedloopError: what was missing at the end of that time.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + START_SECONDS
    secret = secret_key(settings)
    database = Database(settings.database)
    _patiently(lambda: ensure_admin_key(database, settings), deadline)
    index = _patiently(
        lambda: MilvusIndex(
            settings.milvus_uri,
            token=settings.milvus_token.get_secret_value(),
            timeout_seconds=settings.milvus_timeout_seconds,
        ),
        deadline,
    )
    store = ModelStore(settings.models, settings.data_dir / "model-cache")
    identity = replica_id(settings)
    replica = Replica(
        identity,
        database,
        index,
        EncoderCache(store, settings.encoder_threads, settings.encode_batch_size),
        poll_seconds=settings.replica_poll_seconds,
        lease_seconds=settings.replica_lease_seconds,
    )
    queue = TaskQueue(settings.broker_url, timeout_seconds=settings.broker_timeout_seconds)
    spool = _patiently(lambda: Spool(settings.spool_dir / identity, database), deadline)
    service = Service(
        settings=settings,
        secret=secret,
        database=database,
        index=index,
        store=store,
        replica=replica,
        queue=queue,
        batcher=Batcher(
            database,
            index,
            metrics,
            max_batch=settings.max_batch,
            max_wait_ms=settings.max_wait_ms,
            max_queue=settings.max_queue,
            max_queue_ms=settings.max_queue_ms,
            timeout_seconds=settings.search_timeout_seconds,
        ),
        embedder=Embedder(store),
        spool=spool,
        waker=Waker(database, queue),
        keyring=KeyRing(database, grace_seconds=settings.replica_lease_seconds),
        metrics=metrics,
    )
    _add_gauges(service)
    _patiently(replica.refresh, deadline)
    replica.start()
    service.batcher.start()
    spool.start()
    service.waker.start()
    return service


def shut_down(service: Service) -> None:
    """Ends the threads in the order of the flow, flushes the retrieval log and gives the leases back."""
    service.batcher.stop()
    service.waker.stop()
    service.spool.close()
    service.replica.stop()
    service.queue.close()
    service.index.close()
    service.database.dispose()


def replica_id(settings: Settings) -> str:
    """Stable over restarts, so that a replica finds its own spool again; at most 64 characters."""
    given = os.environ.get("EMBEDLOOP_REPLICA_ID")
    if given:
        return given[:64]
    folder = hashlib.sha256(str(settings.data_dir.resolve()).encode()).hexdigest()[:8]
    return f"replica-{socket.gethostname()[:40]}-{folder}"


def _patiently(attempt: Callable[[], T], deadline: float) -> T:
    """Tries until it works or the time is over."""
    pause = threading.Event()
    while True:
        try:
            return attempt()
        except (Unavailable, DeadlineExceeded, Conflict) as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting: %s", error)
            pause.wait(RETRY_SECONDS)


@contextmanager
def _told_of_sigterm(service: Service) -> Iterator[None]:
    """Turns readiness false, and ends event streams, before the server stops taking requests."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(service.stopping.set)
        if callable(before):
            before(number, frame)
        else:
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _add_gauges(service: Service) -> None:
    def lag() -> Iterator[tuple[tuple[str, ...], float]]:
        try:
            with service.database.read() as connection:
                for corpus in corpora.every(connection):
                    head = documents.head(connection, corpus.name)
                    for followed in index_versions.views(connection, corpus.name):
                        labels = (corpus.name, followed.index_version_id, followed.state.value)
                        yield labels, float(max(0, head - followed.applied_seq))
        except EmbedloopError as error:
            log.warning("the lag of index versions is not known: %s", error)

    service.metrics.gauge(
        "embedloop_index_version_lag",
        "Distance of the cursor from the head of the change log, in seq.",
        ("corpus", "index_version", "state"),
        lag,
    )
    service.metrics.gauge(
        "embedloop_search_queue",
        "Searches that wait to be encoded.",
        (),
        lambda: [((), service.batcher.waiting)],
    )
