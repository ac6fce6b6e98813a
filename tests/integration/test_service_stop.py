"""A service that gets SIGTERM: readiness goes false, and what is in flight is answered."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from embedloop.applier import View
from embedloop.catalog import documents
from embedloop.client import Client
from embedloop.orders import Order
from embedloop.records.versions import ModelVersion
from tests.integration.bench import Bench
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import Server, free_port

ROOT = Path(__file__).parents[2]
KEY = "k" * 40


@pytest.fixture
def serving(bench: Bench, tiny: ModelVersion) -> View:
    """The version in charge; nobody applies changes but the test."""
    job = bench.finish(bench.submit(model_version=tiny.model_id))
    return bench.world.view(bench.world.version(job.checkpoint["index_version"]))


@pytest.fixture
def service(bench: Bench, serving: View, tmp_path: Path) -> Iterator[Server]:
    """The service as a process of its own."""
    settings, port = bench.parts.settings, free_port()
    named = ("database_url", "milvus_uri", "broker_url", "model_store", "data_dir")
    environment = {f"EMBEDLOOP_{name.upper()}": str(getattr(settings, name)) for name in named}
    command = ["-m", "uvicorn", "service.app:create", "--factory", "--host", "127.0.0.1", "--port", str(port)]

    def is_ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    server = Server(
        [sys.executable, *command],
        port,
        tmp_path / "service.log",
        environment={"PYTHONPATH": str(ROOT), "EMBEDLOOP_ADMIN_KEY": KEY, **environment},
        folder=ROOT,
        is_ready=is_ready,
    )
    server.start()
    yield server
    server.kill()


def is_stored(bench: Bench, document_id: str) -> bool:
    with bench.world.database.read() as connection:
        return bool(documents.live_revs(connection, bench.world.name, [document_id]))


def test_a_request_in_flight_is_answered_and_event_streams_end_when_the_service_is_told_to_stop(
    bench: Bench, service: Server, serving: View, tiny: ModelVersion
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    bench.give(job_id, Order.PAUSE)
    with (
        Client(f"http://127.0.0.1:{service.port}", KEY, retries=0, timeout_seconds=PATIENCE_SECONDS) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        writing = pool.submit(client.put_document, bench.world.name, "last", text="fever", wait_applied=True)
        told: list[str] = []
        following = pool.submit(
            lambda: [told.append(event["state"]) for event in client.job_events(job_id)]  # type: ignore[func-returns-value]
        )
        eventually(lambda: is_stored(bench, "last") and told == ["paused"], "both to be under way")
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        following.result(timeout=PATIENCE_SECONDS)
        assert not writing.done()
        bench.world.apply(serving)
        assert writing.result(timeout=PATIENCE_SECONDS)["applied"] is True
    assert service.process.wait(timeout=PATIENCE_SECONDS) in (0, -signal.SIGTERM), service.log.read_text()[
        -2000:
    ]


def test_readiness_is_false_from_the_moment_of_the_stop_while_requests_are_still_answered(
    bench: Bench, serving: View, http: TestClient
) -> None:
    assert http.get("/readyz").json()["status"] == "ready"
    http.app.state.service.stopping.set()  # type: ignore[attr-defined]
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
    found = http.post(f"/v1/corpora/{bench.world.name}/search", json={"query": "nose"})
    assert found.json()["index_version"] == serving.version.index_version_id
