"""300 steps and 5 kills on Milvus Lite, SQLite and Valkey."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.faults.report import Options, check


def test_nothing_acknowledged_is_lost_and_nothing_deleted_returns_on_lite_and_sqlite() -> None:
    folder = Path(tempfile.mkdtemp(prefix="embedloop-faults-"))
    done = check(Options(steps=300, kills=5, seed=43, milvus="lite", folder=folder, collected=False))
    assert done.kills.total() == 5
    assert done.done["reembeds"] >= 3
    assert done.done["writes"] > 50
    assert done.done["feedback"] > 10
