"""`?wait=applied`: returns when every index version that a search may be answered from has passed a write."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import anyio

from embedloop.catalog import corpora, index_versions, promotions
from embedloop.corpus import Written, wait_applied
from embedloop.errors import DeadlineExceeded
from embedloop.promotion import HEARD_WITHIN_SECONDS
from embedloop.records.versions import IndexVersion
from service.state import Service

POLL_SECONDS = 0.1
# Between two looks at which versions answer.
LOOK_SECONDS = 1.0
# Waiting threads are counted apart, so that they never take the threads of other requests.
_waiters = anyio.CapacityLimiter(64)
_never = threading.Event()


async def until_applied(service: Service, corpus: str, written: Sequence[Written]) -> None:
    """Waits for the serving version, for one to serve if there is none yet, and for what replicas still serve.

    Raises:
        DeadlineExceeded: it took longer than `wait_applied_timeout_seconds`; the writes stay acknowledged.
        InvalidInput: a document is stored but cannot be embedded.
    """
    await anyio.to_thread.run_sync(_wait, service, corpus, written, limiter=_waiters, abandon_on_cancel=True)


def _wait(service: Service, corpus: str, written: Sequence[Written]) -> None:
    deadline = time.monotonic() + service.settings.wait_applied_timeout_seconds
    versions = _answering(service, corpus)
    first = not versions
    while not versions:
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                "the writes are stored, but no index version of the corpus serves yet", retry_after_seconds=5
            )
        _never.wait(POLL_SECONDS)
        versions = _answering(service, corpus)
    passed: set[str] = set()
    # Another version may take over meanwhile, and one that is retired moves no more.
    while waited_for := [one for one in versions if one.index_version_id not in passed]:
        if _passed(service, waited_for[0], written, deadline):
            passed.add(waited_for[0].index_version_id)
        versions = _answering(service, corpus)
    if first:
        # This replica may not have looked since: its next search must find the version that serves now.
        service.replica.refresh(corpus)


def _passed(service: Service, version: IndexVersion, written: Sequence[Written], deadline: float) -> bool:
    """Waits for one version for a while; raises DeadlineExceeded only at the deadline."""
    left = max(0.0, deadline - time.monotonic())
    try:
        wait_applied(service.database, service.index, version, written, timeout_seconds=min(LOOK_SECONDS, left))
    except DeadlineExceeded:
        if left <= LOOK_SECONDS:
            raise
        return False
    return True


def _answering(service: Service, corpus: str) -> list[IndexVersion]:
    """The version in charge, and those that replicas hold which have not followed a promotion yet."""
    with service.database.read() as connection:
        serving = corpora.get(connection, corpus).serving
        if serving is None:
            return []
        held = {one.serving for one in promotions.heard(connection, corpus, HEARD_WITHIN_SECONDS)}
        return [
            one
            for one in index_versions.followers(connection, corpus)
            if one.index_version_id == serving or one.index_version_id in held
        ]
