"""The retrieval log: spooled to this replica's own file before an answer leaves, then moved to the catalog.

Feedback goes the same way while the catalog is away."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from embedloop.catalog import corpora, feedback
from embedloop.catalog.database import Database
from embedloop.errors import Conflict, EmbedloopError, InvalidInput, NotFound, Unavailable
from embedloop.feedback import AcceptedFeedback, settle_pending, store_feedback
from embedloop.records.feedback import Retrieval
from service.spool_lines import Entry, entry_of, line_of

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
FLUSH_WAIT_SECONDS = 10.0
ADOPT_SECONDS = 60.0
ROWS_PER_INSERT = 300
SUFFIX = ".ndjson"
LOCK = "lock"


class Spool:
    """Appends with one `write` a line, which survives kill -9; a thread moves segments to the catalog.

    The folder is locked: a second process on it would delete segments that the first still writes. A folder
    beside it that nobody locks is that of a replica that is gone, say, of a container that was replaced: its
    lines are moved too.
    """

    def __init__(self, folder: Path, database: Database):
        """Raises Conflict when another process uses the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._database = database
        self._lock_file = _locked(folder / LOCK)
        self._appending = threading.Lock()
        self._flushing = threading.Lock()
        self._segment: Path | None = None
        self._descriptor = -1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        """Moves what a former process left, then goes on doing so."""
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Writes one line. Raises Unavailable when the disk does not take it."""
        line = line_of(entry)
        with self._appending:
            try:
                self._open()
                written = os.write(self._descriptor, line)
                if written != len(line):
                    os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
                    raise OSError("the disk is full")
            except OSError as error:
                raise Unavailable(f"the retrieval log cannot be written: {error}") from error

    def flush_now(self) -> None:
        """Moves every line appended before this call to the catalog. Raises Unavailable if that fails."""
        if not self._flushing.acquire(timeout=FLUSH_WAIT_SECONDS):
            raise Unavailable("the retrieval log is being moved to the catalog", retry_after_seconds=1)
        try:
            self._rotate()
            moved = sum(self._move(segment) for segment in sorted(self._folder.glob(f"*{SUFFIX}")))
            if moved:
                settle_pending(self._database)
        finally:
            self._flushing.release()

    def adopt(self) -> int:
        """Moves what replicas left that are gone, and removes their folders; returns the number of lines.

        Raises:
            Unavailable: the catalog does not answer; what is left waits for the next time.
        """
        return sum(self._adopt(lock.parent) for lock in sorted(self._folder.parent.glob(f"*/{LOCK}")))

    def close(self) -> None:
        """Flushes for the last time; what cannot be moved waits in its segment for the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=FLUSH_WAIT_SECONDS)
        try:
            self.flush_now()
        except EmbedloopError as error:
            log.warning("the retrieval log stays in %s until the next start: %s", self._folder, error)
        with self._appending:
            self._close_segment()
        self._lock_file.close()

    def _run(self) -> None:
        adopted_at = -ADOPT_SECONDS
        while True:
            try:
                self.flush_now()
                if time.monotonic() - adopted_at >= ADOPT_SECONDS:
                    adopted_at = time.monotonic()
                    self.adopt()
            except EmbedloopError as error:
                log.warning("the retrieval log waits in %s: %s", self._folder, error)
            # The thread must outlive whatever a database throws; the segment is still there.
            except Exception:
                log.exception("the retrieval log could not be moved")
            if self._stop.wait(FLUSH_SECONDS):
                return

    def _adopt(self, folder: Path) -> int:
        try:
            lock_file = _locked(folder / LOCK)
        except Conflict:
            return 0
        try:
            moved = sum(self._move(segment) for segment in sorted(folder.glob(f"*{SUFFIX}*")))
            if moved:
                log.info("%d lines of the retrieval log came from %s", moved, folder)
                settle_pending(self._database)
            (folder / LOCK).unlink()
            folder.rmdir()
        finally:
            lock_file.close()
        return moved

    def _open(self) -> None:
        if self._descriptor < 0:
            name = f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}.open"
            self._segment = self._folder / name
            self._descriptor = os.open(self._segment, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _rotate(self) -> None:
        """Ends the present segment; from now on appends go to a new one."""
        with self._appending:
            self._close_segment()
            # An open segment of a former process ended with it: the folder is ours alone.
            for path in self._folder.glob(f"*{SUFFIX}.open"):
                path.rename(path.with_suffix(""))

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _move(self, segment: Path) -> int:
        moved = 0
        for part in _parts(_lines(segment)):
            self._insert([entry for entry in part if isinstance(entry, Retrieval)])
            for entry in part:
                if isinstance(entry, AcceptedFeedback):
                    self._store(entry)
            moved += len(part)
        segment.unlink()
        return moved

    def _insert(self, logged: Sequence[Retrieval]) -> None:
        """Inserts retrievals; those of corpora deleted since are dropped, as is one that is refused alone."""
        try:
            with self._database.write() as connection:
                known = {corpus.name for corpus in corpora.every(connection)}
                feedback.log_retrievals(connection, [r for r in logged if r.corpus in known])
        except DBAPIError as error:
            if len(logged) == 1:
                log.error("retrieval %s is dropped: %s", logged[0].retrieval_id, error.orig)
                return
            for one in logged:
                self._insert([one])

    def _store(self, accepted: AcceptedFeedback) -> None:
        """Stores feedback, once however often it is replayed; what the catalog refuses is dropped."""
        try:
            store_feedback(self._database, accepted)
        except (InvalidInput, NotFound, DBAPIError) as error:
            log.error("feedback %s is dropped: %s", accepted.feedback_id, error)


def _locked(path: Path) -> Any:
    file = None
    try:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who adopted the folder between these two calls has removed it: that lock would guard nothing.
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise OSError("another file has taken its place")
    except OSError as error:
        if file is not None:
            file.close()
        raise Conflict(f"another process spools into {path.parent}; give each replica its own id") from error
    return file


def _lines(segment: Path) -> Iterator[Entry]:
    with segment.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield entry_of(line)
            except (ValueError, KeyError, TypeError) as error:
                # The last line of a process that was killed: its answer never left.
                log.warning("%s line %d is skipped: %s", segment.name, number, error)


def _parts(logged: Iterator[Entry]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    for one in logged:
        part.append(one)
        if len(part) == ROWS_PER_INSERT:
            yield part
            part = []
    if part:
        yield part
