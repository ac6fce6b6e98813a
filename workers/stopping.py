"""A worker that is told to end tells its pool, so that what is under way is handed back instead of finished.

Celery tells its pool processes nothing: it waits until their tasks end. Here each gets a signal of its own as
soon as the worker gets one, and whoever works under a lease asks `is_stopping` between two batches.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from celery import Celery, bootsteps, signals

# Ignored by a process that does not listen to it yet; billiard takes SIGUSR1 and SIGUSR2 for itself.
TOLD = signal.SIGURG
_ENDINGS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)
_told = threading.Event()


def is_stopping() -> bool:
    """Whether this process, or the worker that it belongs to, was told to end."""
    return _told.is_set()


class TellPool(bootsteps.StartStopStep):
    """Passes the first sign of an end on to the pool, before Celery starts to wait for it."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        for number in _ENDINGS:
            before = signal.getsignal(number)
            if callable(before):
                signal.signal(number, partial(_pass_on, parent.pool, before))


def install(app: Celery) -> None:
    """Makes the workers of this app tell their pools."""
    app.steps["worker"].add(TellPool)
    signals.worker_process_init.connect(_listen)


def _pass_on(
    pool: Any, before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None
) -> None:
    _told.set()
    for process in pool.info.get("processes", ()):
        with suppress(ProcessLookupError):
            os.kill(process, TOLD)
    before(number, frame)


def _listen(**_: Any) -> None:
    signal.signal(TOLD, lambda _number, _frame: _told.set())
