"""A stack of its own with the ontology in it, for the sections that need the service."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks.progress import say
from embedloop.client import Client
from embedloop.client.results import Json
from embedloop.demo.ontology import Vocabulary
from embedloop.errors import DeadlineExceeded, EmbedloopError, NotFound
from embedloop.promotion import alias_of
from embedloop.records import IndexState, JobState
from embedloop.settings import Settings
from embedloop.supervisor import Stack

CORPUS = "bench"
JOB_SECONDS = 3600.0
LOOK_SECONDS = 0.2
JOB_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Bench:
    """A running service with one corpus, and what a bare measurement of the same parts needs."""

    stack: Stack
    client: Client
    vocabulary: Vocabulary
    ingest_seconds: float

    def bare_parts(self) -> dict[str, Any]:
        """Model files, threads, batch size and Milvus address, as the service uses them."""
        settings = Settings()
        model = self.client.model(serving(self.client)["model_version"])
        return {
            "model": str(self.stack.data_dir / "models" / model["id"]),
            "max_tokens": model["max_tokens"],
            "batch_size": settings.encode_batch_size,
            "milvus": milvus_address(self.stack),
            "alias": alias_of(CORPUS),
        }

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
        _check_succeeded(job)


def serving(client: Client) -> Json:
    """The index version that serves. Raises NotFound when none does."""
    for version in client.index_versions(CORPUS):
        if version["state"] == IndexState.SERVING.value:
            return version
    raise NotFound(f"corpus {CORPUS!r} must be served by an index version, none serves")


@contextmanager
def running(vocabulary: Vocabulary) -> Iterator[Bench]:
    """Starts a stack in a temporary folder and ingests every term."""
    with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as folder:
        say("starting the stack")
        with Stack(Path(folder)) as stack, Client(stack.url, stack.admin_key, timeout_seconds=60.0) as client:
            say("first index version")
            created = client.create_corpus(CORPUS)
            _check_succeeded(client.wait_for_job(created["job"], JOB_SECONDS))
            say(f"ingesting {len(vocabulary.terms)} terms")
            seconds = _ingest(client, vocabulary)
            say(f"searchable after {seconds:.1f} s")
            yield Bench(stack, client, vocabulary, seconds)
            say("stopping the stack")


def milvus_address(stack: Stack) -> str:
    """Where the stack's own Milvus Lite listens, read from its command line."""
    command = Path(f"/proc/{stack.pid('milvus')}/cmdline").read_text().split("\0")
    return f"http://127.0.0.1:{command[command.index('--port') + 1]}"


def _ingest(client: Client, vocabulary: Vocabulary) -> float:
    """Seconds until searches find every term.

    Raises:
        EmbedloopError: A term was refused.
        DeadlineExceeded: The serving index version does not catch up in time.
    """
    begin = time.perf_counter()
    last_seq = 0
    for line in client.bulk_documents(CORPUS, (term.document for term in vocabulary.terms)):
        if line.get("status") == "refused":
            raise EmbedloopError(f"every term must be stored, line {line['line']} was refused: {line['error']}")
        if "summary" in line:
            last_seq = line["summary"]["last_seq"]
    pause = Event()
    while (applied := serving(client)["applied_seq"]) < last_seq:
        if time.perf_counter() - begin > JOB_SECONDS:
            raise DeadlineExceeded(f"change {last_seq} must be applied in {JOB_SECONDS:g} s, {applied} is")
        pause.wait(LOOK_SECONDS)
    return time.perf_counter() - begin


def _check_succeeded(job: Json) -> None:
    if job["state"] != "succeeded":
        raise EmbedloopError(f"job {job['id']} must succeed, it {job['state']}: {job.get('error')}")
