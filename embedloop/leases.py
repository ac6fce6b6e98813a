"""Keeping a lease alive while work goes on: a thread that renews, and tells when the lease is another's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from embedloop.errors import EmbedloopError, LeaseLost

log = logging.getLogger(__name__)

# How soon whoever works under a lease learns that it shall stop.
LOOK_SECONDS = 1.0


class Renewal:
    """Calls `renew` from a thread until the block ends.

    A catalog that is away for a moment is waited out: the lease in it still runs. When `renew` raises
    LeaseLost the thread stops and `check` raises it in the thread that works.
    """

    def __init__(self, renew: Callable[[], None], *, every_seconds: float):
        self._renew = renew
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._lost: LeaseLost | None = None
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._renew()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises LeaseLost when another worker has the lease."""
        if self._lost is not None:
            raise self._lost

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            try:
                self._renew()
            except LeaseLost as error:
                self._lost = error
                return
            except EmbedloopError as error:
                log.warning("a lease could not be renewed: %s", error)
