"""Waiting for what must come: only a broken part takes longer than this, however slow the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.05


def eventually(condition: Callable[[], T], what: str = "the condition") -> T:
    """What `condition` answers as soon as that is true.

    Raises:
        AssertionError: it did not come true within `PATIENCE_SECONDS`; named by `what`.
    """
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true: {what}")
        pause.wait(LOOK_SECONDS)
    return found
