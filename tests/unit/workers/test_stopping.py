"""A real worker that gets SIGTERM tells its pool process, which ends its task instead of finishing it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]
MODULE = "tests.unit.workers.stopping_app"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "STOPPING_FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT)}


@pytest.fixture(params=[{}, {"REMAP_SIGTERM": "SIGQUIT"}], ids=["sigterm", "remapped"])
def worker(
    request: pytest.FixtureRequest, environment: Mapping[str, str], tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", MODULE, "worker", *quiet],
            env={**environment, **request.param},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        yield process
        process.kill()
        process.wait()


def appears(path: Path) -> bool:
    for _ in range(3000):
        if path.exists():
            return True
        threading.Event().wait(0.02)
    return False


def test_a_task_under_way_hears_of_the_end_of_its_worker_before_it_is_waited_for(
    worker: subprocess.Popen[bytes], environment: Mapping[str, str], tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", f"from {MODULE} import work; work.delay()"],
        env=environment,
        check=True,
        cwd=ROOT,
    )
    assert appears(tmp_path / "began"), (tmp_path / "worker.log").read_text()
    worker.send_signal(signal.SIGTERM)
    assert appears(tmp_path / "stopped"), (tmp_path / "worker.log").read_text()
    worker.wait(timeout=PATIENCE_SECONDS)
