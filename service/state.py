"""What one service process holds while it runs, and how a request reaches it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastapi import Request

from embedloop.catalog.database import Database
from embedloop.index import MilvusIndex
from embedloop.queue import TaskQueue
from embedloop.registry import ModelStore
from embedloop.serving import Replica
from embedloop.settings import Settings
from service.auth import Caller, KeyRing
from service.batching import Batcher
from service.embedding import Embedder
from service.metrics import Metrics
from service.spool import Spool
from service.waking import Waker


@dataclass
class Service:
    """The adapters and threads of this process; `stopping` is set first of all when it ends."""

    settings: Settings
    secret: str
    database: Database
    index: MilvusIndex
    store: ModelStore
    replica: Replica
    queue: TaskQueue
    batcher: Batcher
    embedder: Embedder
    spool: Spool
    waker: Waker
    keyring: KeyRing
    metrics: Metrics
    seen_corpora: set[str] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def service_of(request: Request) -> Service:
    """The running service."""
    service: Service = request.app.state.service
    return service


def caller_of(request: Request) -> Caller:
    """Who asks; put there by the route class before the body was read."""
    caller: Caller = request.state.caller
    return caller
