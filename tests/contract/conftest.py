"""The servers that the Milvus adapter is tested on: Milvus Lite and the engine, started when first used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedloop.index import MilvusIndex
from embedloop.policy import IndexSettings
from tests.patience import PATIENCE_SECONDS
from tests.servers import Server, milvus_lite

KINDS = ["lite", "engine"]


def connected(server: Server, *, token: str = "", timeout_seconds: float = PATIENCE_SECONDS) -> MilvusIndex:
    address = f"http://127.0.0.1:{server.port}"
    return MilvusIndex(address, token=token, timeout_seconds=timeout_seconds)


@pytest.fixture(scope="session")
def indexes(milvus_server: Server, engine_server: Server) -> Iterator[dict[str, MilvusIndex]]:
    """Connections to both servers, by kind."""
    both = {"lite": connected(milvus_server), "engine": connected(engine_server)}
    yield both
    for one in both.values():
        one.close()


@pytest.fixture(scope="session", params=KINDS)
def index(request: pytest.FixtureRequest) -> Iterator[MilvusIndex]:
    server = request.getfixturevalue("milvus_server" if request.param == "lite" else "engine_server")
    one = connected(server)
    yield one
    one.close()


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A started server that the test may kill."""
    if request.param == "lite":
        server = milvus_lite(tmp_path)
    else:
        server = request.getfixturevalue("make_engine")(tmp_path, {})
    server.start()
    yield server
    server.kill()


@pytest.fixture
def collection(index: MilvusIndex, unique: str) -> Iterator[str]:
    index.create(unique, 8, IndexSettings())
    yield unique
    index.drop(unique)
