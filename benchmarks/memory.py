"""What the processes of a stack hold in memory, looked at all the time."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

PROC = Path("/proc")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
# A look costs some 20 ms of CPU, which the measured parts lack.
LOOK_SECONDS = 2.0

Pids = Callable[[], Mapping[str, int]]


def look(pids: Mapping[str, int]) -> dict[str, float]:
    """Resident memory in MiB of each part that runs: its process and all living descendants.

    Pages that they share (PostgreSQL's buffers, libraries) are counted once, as the largest share of any.
    """
    children = _children()
    found = {}
    for name, pid in pids.items():
        pages = [one for member in _family(pid, children) if (one := _pages(member)) is not None]
        if pages:
            own = sum(resident - shared for resident, shared in pages)
            found[name] = round((own + max(shared for _, shared in pages)) * PAGE_MIB, 1)
    return found


def _children() -> dict[int, list[int]]:
    """Parent -> children of the whole machine, read once for all parts."""
    found: dict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            # A name may hold anything; what follows its closing bracket is state and parent.
            with suppress(OSError):
                found[int((entry / "stat").read_text().rpartition(")")[2].split()[1])].append(int(entry.name))
    return found


def _family(pid: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    family = [pid]
    for member in family:
        family.extend(children.get(member, ()))
    return family


def _pages(pid: int) -> tuple[int, int] | None:
    """Resident pages and those of them that are shared; None when the process has ended."""
    try:
        _, resident, shared, *_ = (PROC / str(pid) / "statm").read_text().split()
    except (OSError, ValueError):
        return None
    return (int(resident), int(shared)) if int(resident) else None


class MemoryWatch:
    """Looks at the processes from a thread of its own; also a context manager."""

    def __init__(self, pids: Pids):
        self._pids = pids
        self._begin = time.perf_counter()
        self._looks: list[tuple[float, dict[str, float]]] = []
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

    @property
    def seconds(self) -> float:
        """Since it was made: the clock of `columns`."""
        return round(time.perf_counter() - self._begin, 1)

    def columns(self) -> dict[str, Any]:
        """Every look: `at` in seconds, and `mib` with a column for each part, None where it did not run."""
        with self._lock:
            looks = list(self._looks)
        names = sorted({name for _, found in looks for name in found})
        return {
            "at": [at for at, _ in looks],
            "mib": {name: [found.get(name) for _, found in looks] for name in names},
        }

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
            self._looks.append((self.seconds, dict(found)))
            for name, value in found.items():
                self._peaks[name] = max(value, self._peaks.get(name, 0.0))
