"""Wakes the appliers of a corpus after a write, off the request path."""

from __future__ import annotations

import logging
import threading

from embedloop.catalog import index_versions
from embedloop.catalog.database import Database
from embedloop.errors import EmbedloopError
from embedloop.queue import TaskQueue

log = logging.getLogger(__name__)


class Waker:
    """One thread that sends a wake-up for every index version that follows a changed corpus.

    Changes that come while it sends are sent together. A wake-up that is lost costs only time: the reaper finds
    versions that lag.
    """

    def __init__(self, database: Database, queue: TaskQueue):
        self._database = database
        self._queue = queue
        self._changed: set[str] = set()
        self._condition = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="waker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Sends what is noted, then ends."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join(timeout=10)

    def changed(self, corpus: str) -> None:
        """Notes that the corpus' change log has grown."""
        with self._condition:
            self._changed.add(corpus)
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._changed or self._stopping)
                if not self._changed:
                    return
                corpora, self._changed = self._changed, set()
            for corpus in corpora:
                self._wake(corpus)

    def _wake(self, corpus: str) -> None:
        try:
            with self._database.read() as connection:
                followers = index_versions.followers(connection, corpus)
        except EmbedloopError as error:
            log.warning("the appliers of corpus %s will be woken by the reaper: %s", corpus, error)
            return
        for version in followers:
            self._queue.wake_applier(version.index_version_id)
