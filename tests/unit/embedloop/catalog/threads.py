"""Threads that begin at the same moment, and one that waits for another's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from embedloop.catalog.database import Database
from tests.patience import PATIENCE_SECONDS, eventually

T = TypeVar("T")


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Starts every call in a thread of its own at the same moment; raises what one of them raised."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        together.wait(timeout=PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [
            future.result(timeout=PATIENCE_SECONDS) for future in [pool.submit(run, call) for call in calls]
        ]


def until_one_waits(database: Database, future: Future[object]) -> None:
    """Returns once another transaction waits for a lock, or fails when its call ended without."""
    question = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def one_waits() -> bool:
        assert not future.done(), "it did not wait"
        return bool(database.lookup(question, [])[0][0])

    eventually(one_waits, "one waits for a lock")
