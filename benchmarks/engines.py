"""The Milvus of a measurement, started for it and stopped after it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from pymilvus import MilvusClient

from benchmarks.progress import say
from embedloop.errors import DeadlineExceeded
from tests import servers

ENGINE, LITE = "engine", "lite"
KINDS = (ENGINE, LITE)
SEAL_SECONDS = 300.0
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Engine:
    """A running Milvus: what it is, where it listens, which process it is."""

    kind: str
    version: str
    uri: str
    pid: int


@contextmanager
def running(kind: str) -> Iterator[Engine]:
    """Starts Milvus 2.3.5 (`engine`) or Milvus Lite (`lite`) in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="embedloop-bench-milvus-") as folder:
        say(f"starting Milvus, {kind}")
        make = servers.milvus_engine if kind == ENGINE else servers.milvus_lite
        server = make(Path(folder))
        server.start()
        try:
            uri = f"http://127.0.0.1:{server.port}"
            yield Engine(kind, _version(uri), uri, server.pid)
        finally:
            server.stop()


def seal(uri: str, collection: str) -> None:
    """Flushes a collection and waits until all of it is indexed, so that nothing is scanned.

    Raises:
        DeadlineExceeded: The index is not built in time.
    """
    client = MilvusClient(uri=uri, timeout=30)
    pause, deadline = Event(), time.monotonic() + SEAL_SECONDS
    client.flush(collection, timeout=SEAL_SECONDS)
    while _pending(client, collection):
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"the index of {collection} must be built in {SEAL_SECONDS:g} s, it is not")
        pause.wait(LOOK_SECONDS)
    client.close()


def _pending(client: MilvusClient, collection: str) -> int:
    described = [client.describe_index(collection, name) for name in client.list_indexes(collection)]
    return sum(int(one.get("pending_index_rows") or 0) for one in described)


def _version(uri: str) -> str:
    client = MilvusClient(uri=uri, timeout=30)
    version = str(client.get_server_version())
    client.close()
    return version
