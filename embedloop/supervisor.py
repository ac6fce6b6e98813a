"""`embedloop up`: starts the embedded stack, restarts what dies, stops everything in order.

Each child runs under `embedloop.child`, which ends it when this process dies, even by kill -9.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx

from embedloop import stack_commands
from embedloop.errors import Conflict, InvalidInput, Unavailable

log = logging.getLogger(__name__)

START_SECONDS = 300.0
STOP_SECONDS = 40.0
LOOK_SECONDS = 0.2
PING_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.5
LAST_BACKOFF_SECONDS = 30.0
STEADY_SECONDS = 60.0


@dataclass
class Child:
    """One supervised process: how it is started, and how it has fared."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    backoff_seconds: float = FIRST_BACKOFF_SECONDS
    restart_at: float = 0.0


@dataclass
class Stack:
    """The embedded stack on one data directory; also a context manager.

    Attributes:
        data_dir: Holds everything; the same directory goes on where it was.
        port: Of the service on loopback; 0 takes a free one.
        workers: Embed workers.
        milvus: URI of a Milvus of one's own; None starts Milvus Lite.
        database: SQLAlchemy URL; None takes SQLite in the data directory.
        broker: URL of a Redis or Valkey of one's own; None starts Valkey.
        environment: Further `EMBEDLOOP_*` settings for the children.
    """

    data_dir: Path
    port: int = 0
    workers: int = 1
    milvus: str | None = None
    database: str | None = None
    broker: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    _children: list[Child] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _watcher: threading.Thread | None = None
    _lock_file: IO[str] | None = None
    _milvus_port: int = 0
    _broker_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_key(self) -> str:
        """The key that the service made at its first start."""
        return (self.data_dir / "admin.key").read_text().strip()

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything and returns when `/readyz` answers 200.

        Raises:
            Conflict: another process has this data directory, or the port is taken.
            Unavailable: something did not come up in time; the message names its log.
        """
        self.data_dir = self.data_dir.resolve()
        for sub in ("logs", "run", "milvus", "valkey", "models", "spool", "work"):
            (self.data_dir / sub).mkdir(parents=True, exist_ok=True)
        self._lock()
        try:
            self._wait_for_orphans()
            self._choose_ports()
            self._start_servers()
            self._migrate()
            self._start_own()
            self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._watcher.start()
            self._wait_ready("service", self.url)
        except BaseException:
            self.stop()
            raise

    def add_worker(self) -> str:
        """Starts one more embed worker, supervised like the others; returns its name when it takes tasks.

        Raises:
            Unavailable: it did not come up in time; the message names its log.
        """
        self.workers += 1
        name = self._start_worker(f"embed-{self.workers}")
        self._wait_worker(name)
        return name

    def add_replica(self) -> str:
        """Starts one more replica of the service on a port of its own, supervised like the first.

        Returns:
            Its URL, when `/readyz` answers 200 there.

        Raises:
            Unavailable: it did not come up in time; the message names its log.
        """
        name = f"service-{sum(c.name.startswith('service') for c in self._children) + 1}"
        port = _free_port()
        # The folder's replica is the first one; each has a spool and a lease of its own.
        self._start(
            name, stack_commands.service(port), {"EMBEDLOOP_REPLICA_ID": f"{name}-{self.data_dir.name}"}
        )
        self._wait_ready(name, f"http://127.0.0.1:{port}")
        return f"http://127.0.0.1:{port}"

    @property
    def names(self) -> list[str]:
        """What it supervises: one name for each process."""
        return [child.name for child in self._children]

    def stop(self) -> None:
        """Stops everything: the service first, so that requests in flight still find their servers."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        own = [c for c in self._children if c.name not in ("milvus", "valkey")]
        servers = [c for c in self._children if c.name in ("milvus", "valkey")]
        for group in (own, servers):
            for child in group:
                if child.process is not None and child.process.poll() is None:
                    child.process.terminate()
            for child in group:
                _end(child)
        if self._lock_file is not None:
            self._lock_file.close()

    def wait(self) -> None:
        """Blocks until SIGINT or SIGTERM."""
        told = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: told.set())
        told.wait()

    def pid(self, name: str) -> int:
        """Process id of a child's own command. Raises Unavailable while it is not running."""
        try:
            return int((self.data_dir / "run" / f"{name}.pid").read_text())
        except (OSError, ValueError) as error:
            raise Unavailable(f"{name} is not running") from error

    def _lock(self) -> None:
        self._lock_file = (self.data_dir / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(f"another embedloop runs on {self.data_dir}", field="data_dir") from error

    def _wait_for_orphans(self) -> None:
        """Children of a stack that was killed end by themselves; two Milvus on one folder must not meet."""
        deadline = time.monotonic() + STOP_SECONDS
        for pid_file in (self.data_dir / "run").glob("*.pid"):
            while _is_alive(pid_file) and time.monotonic() < deadline:
                self._stopping.wait(LOOK_SECONDS)
            pid_file.unlink(missing_ok=True)

    def _choose_ports(self) -> None:
        self.port = self.port or _free_port()
        if not _is_free(self.port):
            raise Conflict(f"port {self.port} is taken", field="port")
        self._milvus_port = _free_port()
        self._broker_port = _free_port()

    def _settings(self) -> dict[str, str]:
        own = {
            "EMBEDLOOP_DATA_DIR": str(self.data_dir),
            "EMBEDLOOP_MILVUS_URI": self.milvus or f"http://127.0.0.1:{self._milvus_port}",
            "EMBEDLOOP_BROKER_URL": self.broker or f"redis://127.0.0.1:{self._broker_port}/0",
            "EMBEDLOOP_DATABASE_URL": self._database_url,
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        return {**os.environ, **own, **self.environment}

    @property
    def _database_url(self) -> str:
        return self.database or f"sqlite:///{self.data_dir / 'catalog.db'}"

    def _start_servers(self) -> None:
        if self.broker is None:
            self._start("valkey", stack_commands.valkey(self.data_dir / "valkey", self._broker_port))
            self._wait_port("valkey", self._broker_port)
        if self.milvus is None:
            self._start("milvus", stack_commands.milvus(self.data_dir / "milvus", self._milvus_port))
            self._wait_port("milvus", self._milvus_port)

    def _migrate(self) -> None:
        from embedloop.catalog.migrate import upgrade

        upgrade(self._database_url)

    def _start_own(self) -> None:
        self._start("service", stack_commands.service(self.port))
        for name in ("apply", "default", "train", *(f"embed-{n}" for n in range(1, self.workers + 1))):
            self._start_worker(name)
        self._start("beat", stack_commands.beat())

    def _start_worker(self, name: str) -> str:
        queue = name.split("-")[0]
        # Embedding and training yield to searches and live writes.
        nice = ["nice", "-n", "10"] if queue in ("embed", "train") else []
        self._start(name, [*nice, *stack_commands.worker(name, queue)])
        return name

    def _start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        child = Child(name, command, environment or {})
        self._children.append(child)
        self._spawn(child)

    def _spawn(self, child: Child) -> None:
        pid_file = self.data_dir / "run" / f"{child.name}.pid"
        with (self.data_dir / "logs" / f"{child.name}.log").open("ab") as output:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "embedloop.child", str(pid_file), *child.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self._settings(), **child.environment},
            )
        child.started_at = time.monotonic()

    def _watch(self) -> None:
        """Restarts what died, at once the first time and then with growing pauses."""
        while not self._stopping.wait(LOOK_SECONDS):
            for child in self._children:
                if child.process is None or child.process.poll() is None:
                    continue
                if child.restart_at <= child.started_at:
                    self._plan_restart(child)
                elif time.monotonic() >= child.restart_at:
                    _close_stdin(child)
                    self._spawn(child)

    def _plan_restart(self, child: Child) -> None:
        steady = time.monotonic() - child.started_at > STEADY_SECONDS
        child.backoff_seconds = (
            FIRST_BACKOFF_SECONDS if steady else min(2 * child.backoff_seconds, LAST_BACKOFF_SECONDS)
        )
        child.restart_at = time.monotonic() + child.backoff_seconds
        code = None if child.process is None else child.process.returncode
        log.warning("%s ended with code %s; restart in %.1f s", child.name, code, child.backoff_seconds)

    def _wait_port(self, name: str, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while _is_free(port):
            self._check_in_time(name, deadline)

    def _wait_worker(self, name: str) -> None:
        # Here, because the service never loads a worker's libraries.
        from celery import Celery

        deadline = time.monotonic() + START_SECONDS
        with Celery(broker=self._settings()["EMBEDLOOP_BROKER_URL"], set_as_current=False) as app:
            while not app.control.ping(destination=[f"{name}@{socket.gethostname()}"], timeout=PING_SECONDS):
                self._check_in_time(name, deadline)

    def _wait_ready(self, name: str, url: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError as error:
                log.debug("%s does not answer yet: %s", name, error)
            self._check_in_time(name, deadline)

    def _check_in_time(self, name: str, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise Unavailable(f"{name} did not start; see {self.data_dir / 'logs' / (name + '.log')}")
        self._stopping.wait(LOOK_SECONDS)


def up(
    *,
    data_dir: Path,
    port: int,
    workers: int,
    milvus: str | None = None,
    database: str | None = None,
    broker: str | None = None,
) -> int:
    """Runs the stack in the foreground until SIGINT or SIGTERM; returns the exit code."""
    from rich.console import Console

    console = Console()
    stack = Stack(data_dir, port, workers, milvus, database, broker)
    console.print(f"starting on [bold]{data_dir}[/bold] ...")
    with stack:
        console.print(f"ready: [bold]{stack.url}[/bold]   admin key: {stack.data_dir / 'admin.key'}")
        console.print("stop with Ctrl-C; the same command on the same directory goes on where it was")
        stack.wait()
        console.print("stopping ...")
    return 0


def show_admin_key(data_dir: Path) -> int:
    """Prints the admin key of a data directory. Raises InvalidInput when there is none yet."""
    path = data_dir / "admin.key"
    if not path.is_file():
        raise InvalidInput(
            f"{path} is not there: start `embedloop up` on this directory first", field="data_dir"
        )
    print(path.read_text().strip())
    return 0


def _end(child: Child) -> None:
    if child.process is None:
        return
    try:
        child.process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()
    _close_stdin(child)


def _close_stdin(child: Child) -> None:
    if child.process is not None and child.process.stdin is not None:
        child.process.stdin.close()


def _is_alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
