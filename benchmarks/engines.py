"""The Milvus of a measurement, started for it and stopped after it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymilvus import MilvusClient

from benchmarks.progress import say
from embedloop.index import MilvusIndex
from tests import servers

ENGINE, LITE = "engine", "lite"
KINDS = (ENGINE, LITE)


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
    """Flushes a collection and waits until searches use its index, so that nothing is scanned.

    Raises:
        DeadlineExceeded: The index is not in use in time.
    """
    index = MilvusIndex(uri)
    index.seal(collection)
    index.close()


def _version(uri: str) -> str:
    client = MilvusClient(uri=uri, timeout=30)
    version = str(client.get_server_version())
    client.close()
    return version
