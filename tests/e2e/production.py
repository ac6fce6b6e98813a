"""The services of docker-compose.yml as plain processes: their own commands and environment, on real servers.

Replaced are host names, ports and folders, which containers would give; leases and the clock are shorter, so
that what was killed is soon taken over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
from redis import Redis

from embedloop.client import Client
from tests import compose
from tests.integration.stack.conftest import QUICK
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import Server, free_port, kill_family, milvus_engine, postgres, redis, valkey

ADMIN_KEY = "el_" + "a" * 40


@dataclass
class Container:
    """One process of a service, as Compose would start it in a container of this name."""

    service: str
    name: str
    folder: Path
    command: Sequence[str]
    environment: dict[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the command itself."""
        return int((self.folder / f"{self.name}.pid").read_text())

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Starts the command; it ends when this process does, however that ends."""
        guard = [sys.executable, "-m", "embedloop.child", str(self.folder / f"{self.name}.pid")]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*guard, *self.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=compose.ROOT,
            )

    def kill(self) -> None:
        """kill -9 of the command and everything that it started."""
        kill_family(self.pid)
        self.wait()

    def terminate(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> int:
        """The command's exit code; 128 + n when signal n ended it."""
        assert self.process is not None
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process.stdin is not None:
                self.process.stdin.close()
        return code

    def is_healthy(self) -> bool:
        """What the health check of its service says."""
        kind, *told = compose.services()[self.service]["healthcheck"]["test"]
        command = ["sh", "-c", *told] if kind == "CMD-SHELL" else told
        command = [part.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}") for part in command]
        ended = subprocess.run(command, env=self.environment, capture_output=True, check=False)
        return ended.returncode == 0


@dataclass
class Production:
    """The servers, and the containers that run now."""

    folder: Path
    servers: dict[str, Server]
    containers: dict[str, Container] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @cached_property
    def redis(self) -> Redis:
        return Redis(port=self.servers["redis"].port, password=compose.SECRETS["REDIS_PASSWORD"])

    @property
    def database_url(self) -> str:
        return f"postgresql+psycopg://embedloop@127.0.0.1:{self.servers['postgres'].port}/embedloop"

    def run(self, service: str, name: str) -> Container:
        """Starts a service in a container of its own."""
        told = compose.services({**compose.SECRETS, "EMBEDLOOP_ADMIN_KEY": ADMIN_KEY})[service]
        port = free_port()
        environment = {key: self._local(str(value), name) for key, value in told["environment"].items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "HOME": str(self.folder), "EMBEDLOOP_REPLICA_ID": name, **QUICK}
        container = Container(
            service,
            name,
            self.folder,
            [
                part.replace("=8080", f"={port}").replace("0.0.0.0", "127.0.0.1").replace("%h", name)
                for part in told["command"]
            ],
            {**environment, **own},
            port,
        )
        container.start()
        self.containers[name] = container
        return container

    def client(self, name: str, **options: Any) -> Client:
        return Client(self.containers[name].url, ADMIN_KEY, timeout_seconds=PATIENCE_SECONDS, **options)

    def wait_ready(self, *names: str) -> None:
        for name in names:
            ready = partial(self._is_ready, self.containers[name])
            eventually(ready, f"{name} to be ready")

    def stop(self) -> dict[str, int]:
        """SIGTERM to every container that still runs; their exit codes."""
        running = [c for c in self.containers.values() if c.process is not None and c.process.poll() is None]
        for container in running:
            container.terminate()
        codes = {container.name: container.wait() for container in running}
        self.containers.clear()
        return codes

    def last_words(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    @staticmethod
    def _is_ready(container: Container) -> bool:
        assert container.process is not None
        assert container.process.poll() is None, container.log.read_text()[-3000:]
        try:
            return httpx.get(f"{container.url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def _local(self, value: str, name: str) -> str:
        for host, port in (("postgres", 5432), ("milvus", 19530), ("redis", 6379)):
            value = value.replace(f"{host}:{port}", f"127.0.0.1:{self.servers[host].port}")
        value = value.replace("/tmp/heartbeat", str(self.folder / f"{name}.heartbeat"))
        return str(self.data_dir) if value == "/data" else value


@contextmanager
def production(folder: Path) -> Iterator[Production]:
    """The servers, started together, with a migrated catalog; everything is stopped at the end."""
    made = _servers(folder)
    with ExitStack() as stack:
        for server in made.values():
            stack.callback(server.stop)
        _start(list(made.values()))
        _create_database(made["postgres"])
        whole = Production(folder, made)
        whole.data_dir.mkdir()
        stack.callback(whole.stop)
        stack.enter_context(closing(whole.redis))
        assert whole.run("migrate", "migrate").wait() == 0, whole.last_words()
        try:
            yield whole
        except BaseException as error:
            error.add_note(whole.last_words())
            raise


def _servers(folder: Path) -> dict[str, Server]:
    folders = {name: folder / name for name in ("postgres", "redis", "milvus")}
    for one in folders.values():
        one.mkdir()
    try:
        broker = redis(folders["redis"])
    except FileNotFoundError:
        # The same protocol from the same root; what is installed decides.
        broker = valkey(folders["redis"])
    # The server's own options come last and win; those of the file are checked by being taken.
    broker.command = [broker.command[0], *compose.services()["redis"]["command"][1:], *broker.command[1:]]
    return {
        "postgres": postgres(folders["postgres"]),
        "redis": broker,
        "milvus": milvus_engine(folders["milvus"]),
    }


def _start(servers: list[Server]) -> None:
    failed: list[BaseException] = []

    def start(server: Server) -> None:
        try:
            server.start()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _create_database(server: Server) -> None:
    """What the image of PostgreSQL does at its first start."""
    address = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE ROLE embedloop LOGIN")
        connection.execute("CREATE DATABASE embedloop OWNER embedloop")
