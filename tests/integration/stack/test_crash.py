"""kill -9 of every part, one after the other: the stack heals by itself and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from embedloop.client import Client
from embedloop.errors import EmbedloopError, Unavailable
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS, QUICK, lag, make_corpus, succeeded
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import kill_family

CORPUS = "survivor"
# Many shards, so that there is a middle of a re-embed.
MANY_SHARDS = {**QUICK, "EMBEDLOOP_SHARD_DOCUMENTS": "40"}
ENOUGH_LINES = 400


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory, base_model: str) -> Iterator[Stack]:
    """A stack of its own, with one corpus, that these tests take apart."""
    with Stack(tmp_path_factory.mktemp("crash"), environment=MANY_SHARDS) as stack:
        with Client(stack.url, stack.admin_key) as client:
            make_corpus(client, CORPUS, base_model)
        yield stack


@pytest.fixture
def survivor(crashed: Stack) -> Iterator[Client]:
    """Talks to that stack without retries, so that no failure is hidden; whole again at the start and end."""
    with Client(crashed.url, crashed.admin_key, timeout_seconds=PATIENCE_SECONDS, retries=0) as client:
        whole(client)
        yield client
        whole(client)


def whole(client: Client) -> None:
    """Everything is there and level: readiness, the serving version, every document's passage."""

    def is_level() -> bool:
        try:
            versions = client.index_versions(CORPUS)
            passages = [v["passages"] for v in versions if v["state"] == "serving"]
            level = lag(client, CORPUS) == 0 and passages == [client.corpus(CORPUS)["documents"]]
            return level and client.ready().ready and bool(client.search(CORPUS, "flu").results)
        except EmbedloopError:
            return False

    eventually(is_level, "the stack to be whole")


def kill(stack: Stack, name: str) -> None:
    """kill -9 of one part; returns when the supervisor has started it again."""
    old = stack.pid(name)
    kill_family(old)

    def is_new() -> bool:
        try:
            return stack.pid(name) != old
        except Unavailable:
            return False

    eventually(is_new, f"{name} to be started again")


class Upload:
    """A bulk upload on a raw socket: lines are sent and acknowledged at the same time."""

    def __init__(self, stack: Stack, corpus: str):
        self.acknowledged: dict[str, str] = {}
        self.grown = threading.Condition()
        self._sent: dict[str, str] = {}
        self._socket = socket.create_connection(("127.0.0.1", stack.port), timeout=30)
        self._head = (
            f"POST /v1/corpora/{corpus}/documents:bulk HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {stack.admin_key}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._write, self._read)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=PATIENCE_SECONDS)
        self._socket.close()

    def _write(self) -> None:
        try:
            self._socket.sendall(self._head.encode())
            for number in range(10**6):
                identity, text = f"u{number:06}", f"uploaded {number}"
                self._sent[identity] = text
                line = json.dumps({"id": identity, "text": text}).encode() + b"\n"
                self._socket.sendall(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        except OSError:
            return

    def _read(self) -> None:
        rest = b""
        try:
            while data := self._socket.recv(65536):
                *lines, rest = (rest + data).split(b"\n")
                told = [json.loads(line) for line in lines if line.startswith(b'{"line"')]
                with self.grown:
                    for one in told:
                        assert one["status"] in ("stored", "unchanged")
                        self.acknowledged[one["id"]] = self._sent[one["id"]]
                    self.grown.notify_all()
        except OSError:
            return


def test_service_killed_during_an_upload_loses_no_acknowledged_line(crashed: Stack, survivor: Client) -> None:
    upload = Upload(crashed, CORPUS)
    upload.start()
    with upload.grown:
        assert upload.grown.wait_for(lambda: len(upload.acknowledged) >= ENOUGH_LINES, 60)
    kill(crashed, "service")
    upload.join()
    eventually(lambda: _ready(survivor), "the service to be ready")
    assert len(upload.acknowledged) >= ENOUGH_LINES
    for identity, text in upload.acknowledged.items():
        assert survivor.get_document(CORPUS, identity)["text"] == text
    found = survivor.search(CORPUS, "uploaded", top_k=1000)
    assert found.verified


def test_search_just_answered_may_be_judged_after_the_service_was_killed(
    crashed: Stack, survivor: Client
) -> None:
    found = survivor.search(CORPUS, "flu and fever")
    kill(crashed, "service")
    eventually(lambda: _ready(survivor), "the service to be ready")
    given = survivor.feedback(found.retrieval_id, "up", found.results[0].document_id)
    assert given["status"] == "stored"


def _ready(client: Client) -> bool:
    try:
        return client.ready().ready
    except EmbedloopError:
        return False


@contextmanager
def reembedding(client: Client) -> Iterator[dict[str, Any]]:
    """A re-embed that is in its middle in the block and must succeed after it, with all that is written."""
    job = client.submit_job("reindex", CORPUS)

    def in_its_middle() -> bool:
        now = client.job(job["id"])
        assert now["state"] in ("queued", "running"), now
        return bool(now["stage"] == "embed" and now["progress"] > 0.3)

    eventually(in_its_middle, "the middle of the re-embed")
    yield job
    eventually(lambda: _ready(client), "the service to be ready")
    client.put_document(CORPUS, f"during-{job['id']}", text="written meanwhile")
    client.delete_document(CORPUS, f"during-{job['id']}")
    result = succeeded(client, job)["result"]
    assert result["promoted"]
    assert client.corpus(CORPUS)["serving"] == result["index_version"]


def test_embed_worker_killed_during_a_reembed(crashed: Stack, survivor: Client) -> None:
    with reembedding(survivor):
        kill(crashed, "embed-1")


def test_milvus_killed_during_a_reembed(crashed: Stack, survivor: Client) -> None:
    with reembedding(survivor):
        kill(crashed, "milvus")


def test_broker_killed_during_a_reembed(crashed: Stack, survivor: Client) -> None:
    with reembedding(survivor):
        kill(crashed, "valkey")


def test_train_worker_killed_during_training(crashed: Stack, survivor: Client) -> None:
    survivor.update_policy(CORPUS, {"training": {"batch_size": 2}})
    lines = [
        {"query": f"{query} of patient {n}", "document_id": identity, "grade": 1, "split": "train"}
        for n in range(40)
        for query, identity in clinic.questions(0)
    ]
    lines += clinic.judged(1, "golden", 6)
    assert list(survivor.bulk_judgments(CORPUS, lines))[-1]["summary"]["refused"] == 0
    job = survivor.submit_job("cycle", CORPUS)
    worker = psutil.Process(crashed.pid("train"))

    def trains() -> bool:
        commands = [process.cmdline() for process in worker.children(recursive=True)]
        return any("training" in command for command in commands)

    eventually(trains, "a training process")
    kill(crashed, "train")
    assert survivor.job(job["id"])["state"] == "running"
    assert succeeded(survivor, job)["result"]["promoted"]


def test_write_and_job_taken_while_the_broker_is_dead_are_done(crashed: Stack, survivor: Client) -> None:
    kill_family(crashed.pid("valkey"))
    told = survivor.put_document(CORPUS, "brokerless", text="no broker now", wait_applied=True)
    job = survivor.submit_job("reindex", CORPUS, {"promote": False})
    assert told["applied"]
    succeeded(survivor, job)


@contextmanager
def up(folder: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """`embedloop up` as a process of its own, ready; killed with all its children if the block leaves it."""
    program = Path(sys.executable).parent / "embedloop"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(program), "up", "--data-dir", str(folder), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **MANY_SHARDS},
        )
    try:
        url = f"http://127.0.0.1:{port}"

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_ready, "embedloop up to be ready")
        with Client(url, (folder / "admin.key").read_text(), timeout_seconds=PATIENCE_SECONDS) as client:
            yield process, client
    except BaseException as error:
        for part in sorted((folder / "logs").glob("*.log")):
            error.add_note(f"--- {part.name}\n{part.read_text(errors='replace')[-1500:]}")
        raise
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def family_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_killed_supervisor_goes_on_where_it_was_and_sigterm_stops_it_cleanly(
    tmp_path: Path, base_model: str
) -> None:
    folder, log = tmp_path / "data", tmp_path / "up.log"
    with up(folder, log) as (process, client):
        make_corpus(client, CORPUS, base_model)
        lines = [{"id": f"k{n:04}", "text": f"kept {n}"} for n in range(600)]
        *stored, _ = client.bulk_documents(CORPUS, lines)
        assert {one["status"] for one in stored} == {"stored"}
        found = client.search(CORPUS, "kept")
        given = client.feedback(found.retrieval_id, "up", found.results[0].document_id)
        job = client.submit_job("reindex", CORPUS)
        orphans = family_of(process)
        process.kill()
    with up(folder, log) as (process, client):
        assert not psutil.wait_procs(orphans, timeout=PATIENCE_SECONDS)[1]
        assert client.wait_for_job(job["id"], JOB_SECONDS)["state"] == "succeeded"
        whole(client)
        assert client.corpus(CORPUS)["documents"] == 600 + len(clinic.TERMS)
        assert client.get_document(CORPUS, "k0599")["text"] == "kept 599"
        client.delete_feedback(given["feedback_id"])
        family = family_of(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0, log.read_text()
        assert not psutil.wait_procs(family, timeout=PATIENCE_SECONDS)[1]
