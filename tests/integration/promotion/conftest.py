"""The world of the other integration tests, on Milvus Lite with SQLite and on the engine with PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedloop.index import MilvusIndex
from embedloop.settings import Settings
from tests.integration.promotion.promoter import Promoter
from tests.patience import PATIENCE_SECONDS
from tests.servers import Server
from workers.parts import Parts

StartPromoter = Callable[[], Promoter]
SERVERS = {
    "lite-sqlite": ("milvus_server", "sqlite_url"),
    "engine-postgresql": ("engine_server", "postgresql_url"),
}


@pytest.fixture(params=SERVERS)
def servers(request: pytest.FixtureRequest) -> tuple[Server, str]:
    """The Milvus server and the URL of the catalog."""
    milvus, catalog = SERVERS[request.param]
    return request.getfixturevalue(milvus), request.getfixturevalue(catalog)


@pytest.fixture
def milvus(servers: tuple[Server, str]) -> Server:
    return servers[0]


@pytest.fixture
def database_url(servers: tuple[Server, str]) -> str:
    return servers[1]


@pytest.fixture
def index(milvus: Server) -> Iterator[MilvusIndex]:
    connected = MilvusIndex(f"http://127.0.0.1:{milvus.port}", timeout_seconds=PATIENCE_SECONDS)
    yield connected
    connected.close()


@pytest.fixture
def parts(
    database_url: str,
    milvus: Server,
    valkey_server: Server,
    tmp_path: Path,
) -> Iterator[Parts]:
    """What a worker works with."""
    settings = Settings(
        data_dir=tmp_path,
        database_url=database_url,
        milvus_uri=f"http://127.0.0.1:{milvus.port}",
        broker_url=f"redis://127.0.0.1:{valkey_server.port}/4",
        replica_lease_seconds=300,
    )
    made = Parts(settings)
    yield made
    made.queue.close()
    made.index.close()
    made.database.dispose()


@pytest.fixture
def start_promoter(database_url: str, milvus: Server, unique: str, tmp_path: Path) -> Iterator[StartPromoter]:
    """Starts processes that promote; `wait_ready` must be called on each."""
    started: list[Promoter] = []

    def start() -> Promoter:
        started.append(Promoter(database_url, milvus.port, unique, tmp_path / f"promoter-{len(started)}.log"))
        return started[-1]

    yield start
    for one in started:
        one.close()
