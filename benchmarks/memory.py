"""What the processes of a stack hold in memory, looked at all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import psutil

MIB = 2**20
LOOK_SECONDS = 0.5

Pids = Callable[[], Mapping[str, int]]


def resident_mib(pid: int) -> float | None:
    """Resident memory of a process and its living descendants; None when it has ended.

    Pages that they share (PostgreSQL's buffers, libraries) are counted once, as the largest share of any.
    """
    own, shared = 0, 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return None
    for one in family:
        try:
            memory = one.memory_info()
        except psutil.NoSuchProcess:
            continue
        own += memory.rss - memory.shared
        shared = max(shared, memory.shared)
    return (own + shared) / MIB


def look(pids: Mapping[str, int]) -> dict[str, float]:
    """Memory in MiB of each part that runs."""
    found = {name: resident_mib(pid) for name, pid in pids.items()}
    return {name: round(value, 1) for name, value in found.items() if value is not None}


class MemoryWatch:
    """Looks at the processes from a thread of its own; also a context manager."""

    def __init__(self, pids: Pids):
        self._pids = pids
        self._peaks: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    @contextmanager
    def phase(self, name: str) -> Iterator[dict[str, Any]]:
        """Yields a section that has, when the block has ended, memory at its end and the peak within it."""
        section: dict[str, Any] = {"phase": name}
        with self._lock:
            self._peaks = {}
        yield section
        now = look(self._pids())
        self._note(now)
        with self._lock:
            section |= {"mib": now, "peak_mib": dict(self._peaks)}

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self._note(look(self._pids()))

    def _note(self, found: Mapping[str, float]) -> None:
        with self._lock:
            for name, value in found.items():
                self._peaks[name] = max(value, self._peaks.get(name, 0.0))
