"""The real processes: two replicas, two appliers, two embed workers, and the servers below them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from embedloop import stack_commands
from embedloop.catalog import index_versions, models
from embedloop.catalog.database import Database, now
from embedloop.client import Client
from embedloop.errors import Unavailable
from embedloop.index import MilvusIndex
from embedloop.policy import Chunking
from embedloop.records.gate import Gate
from embedloop.records.versions import IndexVersion, ModelVersion
from embedloop.registry import ModelStore, register
from embedloop.supervisor import Stack
from tests import servers
from tests.faults.plan import PARTS, STORES
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS
from tests.patience import eventually
from tests.servers import Server, kill_family, once_it_answers
from tests.tiny_model import build_tiny_model

T = TypeVar("T")

CORPUS = "faults"
REPLICA_TWO = "replica-two"
ANSWER_SECONDS = 90.0
# (dimension, seed): two of equal dimension, which only their weights tell apart, and one that is wider.
TINY = ((32, 1), (32, 2), (48, 3))
NARROW, WIDE = Chunking(max_tokens=24), Chunking(max_tokens=48)
# What was killed is taken over soon, a re-embed has many shards, and old versions are soon collected.
ENVIRONMENT = {
    "EMBEDLOOP_JOB_LEASE_SECONDS": "4",
    "EMBEDLOOP_BEAT_SECONDS": "1",
    "EMBEDLOOP_SWEEP_SECONDS": "20",
    "EMBEDLOOP_SHARD_DOCUMENTS": "5",
    "EMBEDLOOP_REPLICA_LEASE_SECONDS": "20",
    "EMBEDLOOP_ENCODER_THREADS": "1",
    "EMBEDLOOP_EMBED_THREADS": "1",
    # Threads of libraries that are not ours: the machine's cores are for all the processes.
    "OMP_NUM_THREADS": "1",
    # Searches are never refused for being slow: with both cores taken by restarts they are.
    "EMBEDLOOP_MAX_QUEUE_MS": "10000",
}
POLICY: dict[str, Any] = {
    # Exact, so that one search with a large top_k must show every document.
    "index": {"index_type": "FLAT"},
    "splits": {"golden": 0, "dev": 0},
    "trigger": {"new_feedback": None},
    "chunking": WIDE.model_dump(),
    "rollback_window_seconds": 60.0,
}


@dataclass
class FaultStack(Stack):
    """The embedded stack with a second replica of the service and a second applier."""

    second_port: int = field(default_factory=servers.free_port)

    @property
    def urls(self) -> tuple[str, str]:
        return self.url, f"http://127.0.0.1:{self.second_port}"

    def _start_own(self) -> None:
        super()._start_own()
        self._start(
            "service-2", stack_commands.service(self.second_port), {"EMBEDLOOP_REPLICA_ID": REPLICA_TWO}
        )
        self._start_worker("apply-2")


@dataclass
class Cluster:
    """What runs, and how to reach it past the API, for comparing.

    Attributes:
        stack: The supervised processes.
        servers: Those that the stack did not start: part -> server.
        database: The catalog.
        index: The Milvus.
        model_ids: Model versions in the order of `TINY`.
    """

    stack: FaultStack
    servers: Mapping[str, Server]
    database: Database
    index: MilvusIndex
    model_ids: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that can be killed."""
        return (*PARTS, *dict.fromkeys((*STORES, *self.servers)))

    @cached_property
    def clients(self) -> tuple[Client, ...]:
        """One for each replica, without retries, so that no failure is hidden."""
        return tuple(self.client(n) for n in range(2))

    def client(self, replica: int) -> Client:
        url = self.stack.urls[replica]
        return Client(url, self.stack.admin_key, timeout_seconds=ANSWER_SECONDS, retries=0)

    def pid(self, part: str) -> int:
        """Raises Unavailable while the part is not running."""
        if part not in self.servers:
            return self.stack.pid(part)
        try:
            return self.servers[part].pid
        except RuntimeError as error:
            raise Unavailable(str(error)) from error

    def versions(self) -> list[IndexVersion]:
        """What the catalog says of every index version, the newest first."""
        return self.ask_catalog(lambda connection: index_versions.of_corpus(connection, CORPUS))

    def model(self, model_id: str) -> ModelVersion:
        return self.ask_catalog(lambda connection: models.get(connection, model_id))

    def ask_catalog(self, question: Callable[[Connection], T]) -> T:
        """One read of the catalog, once it answers: after a restart the connections of the pool are broken."""

        def ask() -> T:
            with self.database.read() as connection:
                return question(connection)

        return once_it_answers(ask)

    def kill(self, part: str) -> None:
        """kill -9; the supervisor, or this call, starts it again."""
        kill_family(self.pid(part))
        if part in self.servers:
            self.servers[part].kill()
            self.servers[part].start()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.database.dispose()
        self.index.close()


@contextmanager
def running(folder: Path, milvus: str) -> Iterator[Cluster]:
    """Starts everything with an empty corpus and every model allowed to serve; stops it at the end.

    Args:
        folder: For data and logs; the caller's to keep or to remove.
        milvus: `lite`, with SQLite, or `engine`, with PostgreSQL.
    """
    with ExitStack() as stack:
        own = _servers(folder) if milvus == "engine" else {}
        for server in own.values():
            stack.callback(server.stop)
            server.start()
        milvus_uri = f"http://127.0.0.1:{own['milvus'].port}" if own else None
        fault_stack = FaultStack(
            folder / "stack",
            workers=2,
            milvus=milvus_uri,
            database=servers.postgres_url(own["postgres"]) if own else None,
            environment=ENVIRONMENT,
        )
        stack.enter_context(fault_stack)
        uri = milvus_uri or f"http://127.0.0.1:{fault_stack._milvus_port}"
        cluster = Cluster(fault_stack, own, Database(fault_stack._database_url), MilvusIndex(uri))
        stack.callback(cluster.close)
        _make_corpus(cluster, folder)
        yield cluster


def _servers(folder: Path) -> dict[str, Server]:
    made = {}
    for name, make in (("milvus", servers.milvus_engine), ("postgres", servers.postgres)):
        (folder / name).mkdir(parents=True)
        made[name] = make(folder / name)
    return made


def _make_corpus(cluster: Cluster, folder: Path) -> None:
    folders = [
        build_tiny_model(folder / f"tiny-{n}", dimension=dimension, seed=seed, words=clinic.WORDS)
        for n, (dimension, seed) in enumerate(TINY)
    ]
    client = cluster.clients[0]
    created = client.create_corpus(CORPUS, base_model=str(folders[0]), policy=POLICY)
    job = client.wait_for_job(created["job"], JOB_SECONDS)
    assert job["state"] == "succeeded", job
    known = _register(cluster, folders)
    cluster.model_ids = tuple(known)
    eventually(lambda: all(c.ready() for c in cluster.clients), "both replicas to be ready")


def _register(cluster: Cluster, folders: list[Path]) -> list[str]:
    """Registers the models and notes a passed gate for each: what the gate thinks is tested elsewhere."""
    from training.export import export_onnx

    store = ModelStore(str(cluster.stack.data_dir / "models"), cluster.stack.data_dir / "model-cache")

    def export(copy: Path) -> None:
        export_onnx(copy)

    made = [register(cluster.database, store, one, base=str(one), export=export) for one in folders]
    with cluster.database.write() as connection:
        for model in made:
            models.add_gate(connection, _passed(model))
    return [model.model_id for model in made]


def _passed(model: ModelVersion) -> Gate:
    return Gate(
        gate_id=f"g-{model.model_id}",
        corpus=CORPUS,
        job_id="j-faults",
        candidate=model.model_id,
        serving="",
        passed=True,
        reasons=[],
        metrics={},
        created_at=now(),
    )
