from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.memory import MemoryWatch, look

HOLDS = "import sys; block = b'x' * (64 << 20); print('ready', flush=True); sys.stdin.read()"


def test_memory_of_a_child_counts_for_its_parent_and_is_gone_with_it() -> None:
    before = look({"tests": os.getpid()})["tests"]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        during = look({"tests": os.getpid(), "child": child.pid})
    assert during["child"] > 64
    assert during["tests"] > before + 60
    assert look({"gone": child.pid}) == {}


def test_phase_tells_memory_at_its_end_and_a_peak_that_is_no_less() -> None:
    with MemoryWatch(lambda: {"tests": os.getpid()}) as watch, watch.phase("idle") as section:
        pass
    assert section["phase"] == "idle"
    assert section["peak_mib"]["tests"] >= section["mib"]["tests"] > 10


def test_columns_hold_every_look_and_leave_gaps_for_parts_that_came_later() -> None:
    pids = {"tests": os.getpid()}
    watch = MemoryWatch(lambda: pids)
    with watch:
        with watch.phase("alone"):
            pass
        pids["again"] = os.getpid()
        with watch.phase("both"):
            pass
    found = watch.columns()
    assert len(found["at"]) == len(found["mib"]["tests"]) == len(found["mib"]["again"]) >= 2
    assert found["at"] == sorted(found["at"])
    assert found["mib"]["again"][0] is None
    assert found["mib"]["again"][-1] > 10
