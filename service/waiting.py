"""`?wait=applied`: returns when the serving index version has passed a write."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import anyio

from embedloop.catalog import corpora, index_versions
from embedloop.corpus import Written, wait_applied
from embedloop.errors import DeadlineExceeded
from embedloop.records import IndexVersion
from service.state import Service

POLL_SECONDS = 0.1
# Waiting threads are counted apart, so that they never take the threads of other requests.
_waiters = anyio.CapacityLimiter(64)
_never = threading.Event()


async def until_applied(service: Service, corpus: str, written: Sequence[Written]) -> None:
    """Waits for the serving version, and for one to serve if there is none yet.

    Raises:
        DeadlineExceeded: it took longer than `wait_applied_timeout_seconds`; the writes stay acknowledged.
        InvalidInput: a document is stored but cannot be embedded.
    """
    await anyio.to_thread.run_sync(_wait, service, corpus, written, limiter=_waiters, abandon_on_cancel=True)


def _wait(service: Service, corpus: str, written: Sequence[Written]) -> None:
    deadline = time.monotonic() + service.settings.wait_applied_timeout_seconds
    version = _serving(service, corpus)
    first = version is None
    while version is None:
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                "the writes are stored, but no index version of the corpus serves yet", retry_after_seconds=5
            )
        _never.wait(POLL_SECONDS)
        version = _serving(service, corpus)
    wait_applied(
        service.database,
        service.index,
        version,
        written,
        timeout_seconds=max(0.0, deadline - time.monotonic()),
    )
    if first:
        # This replica may not have looked since: its next search must find the version that serves now.
        service.replica.refresh(corpus)


def _serving(service: Service, corpus: str) -> IndexVersion | None:
    with service.database.read() as connection:
        serving = corpora.get(connection, corpus).serving
        return None if serving is None else index_versions.get(connection, serving)
