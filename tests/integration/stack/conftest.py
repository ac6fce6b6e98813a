"""One whole stack for all tests of this folder: real service, workers, Valkey and Milvus Lite."""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from embedloop.catalog import keys
from embedloop.catalog.database import Database
from embedloop.client import Client
from embedloop.supervisor import Stack
from service.keyfiles import key_hash
from tests.integration.stack import clinic
from tests.patience import PATIENCE_SECONDS, eventually
from tests.tiny_model import build_tiny_model

# A job is several waits, each of which may take a slow machine long.
JOB_SECONDS = 2 * PATIENCE_SECONDS
# A dead worker's job is taken over soon, and the clock ticks fast.
QUICK = {"EMBEDLOOP_JOB_LEASE_SECONDS": "4", "EMBEDLOOP_BEAT_SECONDS": "1"}
# No search is given up because the machine is busy.
PATIENT = {"EMBEDLOOP_SEARCH_TIMEOUT_SECONDS": "60", "EMBEDLOOP_MILVUS_TIMEOUT_SECONDS": "60"}
# Small batches and few queries, and nothing starts by itself.
POLICY: dict[str, Any] = {
    "index": {"index_type": "FLAT"},
    "splits": {"golden": 0, "dev": 0},
    "trigger": {"new_feedback": None, "min_pairs": 4},
    "training": {"batch_size": 8, "evaluations": 1, "hard_negatives": 0, "threads": 1},
    "gate": {"min_queries": 5, "min_uplift": -1, "pool_size": 50, "max_general_drop": 1},
}
_WRITTEN = ("corpora", "changes", "documents", "jobs", "feedback", "queries", "judgments", "index_versions")


ChangesNothing = Callable[[], AbstractContextManager[None]]


class NewCorpus(Protocol):
    def __call__(self, **policy: Any) -> str: ...


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of an untrained model of dimension 32."""
    return str(build_tiny_model(tmp_path_factory.mktemp("base32"), dimension=32, seed=1, words=clinic.WORDS))


@pytest.fixture(scope="session")
def wider_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of another untrained model, of dimension 48."""
    return str(build_tiny_model(tmp_path_factory.mktemp("base48"), dimension=48, seed=2, words=clinic.WORDS))


# Of the package: a stack that idled until the session ends would slow every test after.
@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), environment={**QUICK, **PATIENT}) as started:
        yield started


@pytest.fixture(scope="package")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url, stack.admin_key, timeout_seconds=PATIENCE_SECONDS) as connected:
        yield connected


@pytest.fixture(scope="package")
def http(stack: Stack) -> Iterator[httpx.Client]:
    """Plain HTTP with the admin key, for what the client would not send."""
    headers = {"Authorization": f"Bearer {stack.admin_key}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=PATIENCE_SECONDS) as connected:
        yield connected


@pytest.fixture(scope="package")
def catalog_file(stack: Stack) -> Path:
    return stack.data_dir / "catalog.db"


@pytest.fixture
def new_corpus(client: Client, base_model: str, request: pytest.FixtureRequest) -> NewCorpus:
    """Makes a corpus with the tiny model, by default ready to be searched."""

    def make(*, wait: bool = True, filled: bool = True, **policy: Any) -> str:
        name = corpus_name(request.node.name)
        make_corpus(client, name, base_model, wait=wait, filled=filled, **policy)
        return name

    return make


def corpus_name(test: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", test.removeprefix("test_").lower())[:40].strip("-")
    return f"{readable}-{uuid.uuid4().hex[:6]}"


def make_corpus(
    client: Client, name: str, base_model: str, *, wait: bool = True, filled: bool = True, **policy: Any
) -> dict[str, Any]:
    """Creates a corpus; `policy` holds sections that replace those of `POLICY`."""
    merged = {**POLICY, **{k: {**POLICY.get(k, {}), **v} for k, v in policy.items()}}
    created = client.create_corpus(name, base_model=base_model, policy=merged)
    if filled:
        stored = list(client.bulk_documents(name, clinic.documents()))[-1]["summary"]
        assert stored["stored"] == len(clinic.TERMS)
    if wait:
        job = client.wait_for_job(created["job"], JOB_SECONDS)
        assert job["state"] == "succeeded", job
        eventually(lambda: lag(client, name) == 0, f"{name} to be level with its log")
    return created


def lag(client: Client, corpus: str) -> int:
    """How far the serving index version is behind the change log."""
    return sum(v["lag"] for v in client.index_versions(corpus) if v["state"] == "serving")


def succeeded(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it has ended, which must be well."""
    ended = client.wait_for_job(job["id"], JOB_SECONDS)
    assert ended["state"] == "succeeded", ended
    return ended


@pytest.fixture
def changes_nothing(catalog_file: Path) -> ChangesNothing:
    """A block in which nothing may be written: the catalog's rows are counted before and after."""

    @contextmanager
    def watch() -> Iterator[None]:
        before = _rows(catalog_file)
        yield
        assert _rows(catalog_file) == before

    return watch


@pytest.fixture
def nothing_changes(request: pytest.FixtureRequest, changes_nothing: ChangesNothing) -> Iterator[None]:
    """A test that uses it must leave the catalog as it was, unless it says that it writes."""
    if request.node.get_closest_marker("writes"):
        yield
        return
    with changes_nothing():
        yield


def _rows(catalog_file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{catalog_file}?mode=ro", uri=True)) as connection:
        counts = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in _WRITTEN}
        live = connection.execute("SELECT count(*) FROM documents WHERE live").fetchone()[0]
    return counts | {"live documents": live}


@pytest.fixture(scope="package")
def new_key(stack: Stack, catalog_file: Path) -> Iterator[Callable[..., str]]:
    """Stores a key of a role that sees only the corpora given, and returns it."""
    database = Database(f"sqlite:///{catalog_file}")

    def make(role: str, *corpora: str) -> str:
        key = f"el_test_{uuid.uuid4().hex}"
        with database.write() as connection:
            keys.add(
                connection,
                key_id=f"k-{uuid.uuid4().hex[:12]}",
                key_hash=key_hash(key),
                label="test",
                role=role,
                corpora=list(corpora) or None,
            )
        return key

    yield make
    database.dispose()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "writes: the test changes the catalog on purpose")
