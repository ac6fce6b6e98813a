"""A stack of its own with one corpus, for the benchmarks that need the service."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks.engines import Engine, seal
from benchmarks.levels import Target
from benchmarks.progress import say
from embedloop.client import Client
from embedloop.client.results import Json
from embedloop.demo.ontology import Term
from embedloop.errors import DeadlineExceeded, EmbedloopError, NotFound, Unavailable
from embedloop.index import MilvusIndex
from embedloop.promotion import alias_of
from embedloop.records.jobs import JobState
from embedloop.records.versions import IndexState
from embedloop.settings import Settings
from embedloop.supervisor import Stack

CORPUS = "bench"
JOB_SECONDS = 3600.0
FOUND_SECONDS = 300.0
JOB_LOOK_SECONDS = 0.1
FOUND_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Bench:
    """A running service with one corpus, and what a bare measurement of the same parts needs.

    Attributes:
        stack: The service and its workers.
        client: With the admin key.
        engine: The Milvus below, which the stack did not start.
        servers: Other servers that the stack did not start: name -> process id.
    """

    stack: Stack
    client: Client
    engine: Engine
    servers: Mapping[str, int] = field(default_factory=dict)

    def pids(self) -> dict[str, int]:
        """The process of each part that runs now; children of theirs are not listed."""
        found = dict(self.servers) | {"milvus": self.engine.pid}
        for name in self.stack.names:
            try:
                found[name] = self.stack.pid(name)
            except Unavailable:
                continue
        return found

    def target(self) -> Target:
        """The search route of the corpus."""
        pids = {"service": self.stack.pid("service"), "milvus": self.engine.pid}
        return Target(self.stack.url, f"/v1/corpora/{CORPUS}/search", self.stack.admin_key, pids)

    def collection(self) -> str:
        """The physical collection that serves.

        Raises:
            NotFound: The alias of the corpus is on none.
        """
        index = MilvusIndex(self.engine.uri)
        found = index.alias_target(alias_of(CORPUS))
        index.close()
        if found is None:
            raise NotFound(f"alias {alias_of(CORPUS)} must be on a collection, it is on none")
        return found

    def seal(self) -> None:
        """Flushes what serves and waits until it is indexed."""
        seal(self.engine.uri, self.collection())

    def bare_parts(self) -> dict[str, Any]:
        """Model files, batch size, Milvus address and collection, as the service uses them."""
        model = self.client.model(serving(self.client)["model_version"])
        return {
            "model": str(self.stack.data_dir / "models" / model["id"]),
            "max_tokens": model["max_tokens"],
            "batch_size": Settings().encode_batch_size,
            "milvus": self.engine.uri,
            "milvus_pid": self.engine.pid,
            "collection": self.collection(),
        }

    def ingest(self, terms: Sequence[Term]) -> dict[str, float]:
        """Stores terms, each request answered when searches can find what it stored.

        Returns:
            Seconds until the last request was answered (`applied`), and until a search for the last term
            showed it (`found`).

        Raises:
            EmbedloopError: A term was refused, or is not applied.
            DeadlineExceeded: No search finds the last one in time.
        """
        say(f"ingesting {len(terms)} terms")
        begin = time.perf_counter()
        documents = (term.document for term in terms)
        check_stored(self.client.bulk_documents(CORPUS, documents, wait_applied=True))
        applied = time.perf_counter() - begin
        self._wait_until_found(terms[-1])
        return {"applied": applied, "found": time.perf_counter() - begin}

    def run_job(self, kind: str) -> Iterator[tuple[float, Json]]:
        """Submits a job and yields it every tenth of a second with `time.perf_counter()`, its end included.

        Raises:
            EmbedloopError: It did not succeed.
        """
        pause = Event()
        job = self.client.submit_job(kind, CORPUS)
        yield time.perf_counter(), job
        while not JobState(job["state"]).ended:
            pause.wait(JOB_LOOK_SECONDS)
            job = self.client.job(job["id"])
            yield time.perf_counter(), job
        check_succeeded(job)

    def _wait_until_found(self, term: Term) -> None:
        pause, deadline = Event(), time.monotonic() + FOUND_SECONDS
        while all(hit.document_id != term.term_id for hit in self.client.search(CORPUS, term.name).results):
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{term.term_id} must be found in {FOUND_SECONDS:g} s, it is not")
            pause.wait(FOUND_LOOK_SECONDS)


def serving(client: Client, corpus: str = CORPUS) -> Json:
    """The index version that serves. Raises NotFound when none does."""
    for version in client.index_versions(corpus):
        if version["state"] == IndexState.SERVING.value:
            return version
    raise NotFound(f"corpus {corpus!r} must be served by an index version, none serves")


@contextmanager
def running(
    engine: Engine,
    *,
    database: str | None = None,
    broker: str | None = None,
    servers: Mapping[str, int] | None = None,
    policy: Mapping[str, Any] | None = None,
    with_corpus: bool = True,
) -> Iterator[Bench]:
    """Starts a stack in a temporary folder on a Milvus, with an empty corpus that has its index version.

    Args:
        engine: The Milvus.
        database: A PostgreSQL; None takes SQLite.
        broker: A Valkey; None starts one.
        servers: Processes of the servers given.
        policy: Of the corpus.
        with_corpus: False leaves making corpora to the caller.
    """
    with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as folder:
        say("starting the stack")
        stack = Stack(Path(folder), milvus=engine.uri, database=database, broker=broker)
        with stack, Client(stack.url, stack.admin_key, timeout_seconds=60.0) as client:
            if with_corpus:
                created = client.create_corpus(CORPUS, policy=policy)
                check_succeeded(client.wait_for_job(created["job"], JOB_SECONDS))
            yield Bench(stack, client, engine, servers or {})
            say("stopping the stack")


def check_stored(lines: Iterable[Json]) -> None:
    """Raises EmbedloopError for the first line of a bulk request that was refused."""
    for line in lines:
        if line.get("status") == "refused":
            raise EmbedloopError(f"every line must be stored, line {line['line']}: {line['error']}")


def check_succeeded(job: Json) -> None:
    """Raises EmbedloopError for a job that did not succeed."""
    if job["state"] != "succeeded":
        raise EmbedloopError(f"job {job['id']} must succeed, it {job['state']}: {job.get('error')}")
