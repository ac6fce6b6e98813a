"""A supervised command ends with its parent, however the parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.patience import PATIENCE_SECONDS, eventually

PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-m", "embedloop.child", sys.argv[1], *sys.argv[2:]], stdin=subprocess.PIPE)
time.sleep(600)
"""
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def pid_in(path: Path) -> int:
    eventually(lambda: path.is_file() and path.read_text() != "")
    return int(path.read_text())


def start(pid_file: Path, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "embedloop.child", str(pid_file), *command], stdin=subprocess.PIPE
    )


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def finish(process: subprocess.Popen[bytes]) -> int:
    code = process.wait(timeout=PATIENCE_SECONDS)
    if process.stdin is not None:
        process.stdin.close()
    return code


def test_the_command_ends_when_the_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "child.pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(pid_file), *SLEEPER])
    child = pid_in(pid_file)
    assert alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(timeout=PATIENCE_SECONDS)
    eventually(lambda: not alive(child))


def test_the_command_ends_when_the_process_around_it_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "child.pid"
    process = start(pid_file, SLEEPER)
    child = pid_in(pid_file)
    process.kill()
    finish(process)
    eventually(lambda: not alive(child))


def test_sigterm_is_passed_on(tmp_path: Path) -> None:
    pid_file = tmp_path / "child.pid"
    process = start(pid_file, SLEEPER)
    child = pid_in(pid_file)
    process.terminate()
    assert finish(process) == 128 + signal.SIGTERM
    assert not alive(child)
    assert not pid_file.exists()


def test_the_exit_code_is_the_command_s(tmp_path: Path) -> None:
    assert finish(start(tmp_path / "a.pid", [sys.executable, "-c", "raise SystemExit(7)"])) == 7
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert finish(start(tmp_path / "b.pid", [sys.executable, "-c", kill])) == 128 + signal.SIGKILL
