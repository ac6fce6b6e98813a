"""A language model as training sees it: text in, text out. Whoever calls brings one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from embedloop.errors import DeadlineExceeded, Unavailable

ATTEMPTS = 3


class LanguageModel(Protocol):
    """Completes a conversation of one system and one user message."""

    @property
    def name(self) -> str:
        """Which model it is, for lineage and for what is kept of its answers."""
        ...

    def complete(self, system: str, user: str) -> str:
        """Answers once.

        Raises:
            Unavailable: It does not answer, or is busy; asked later it may.
            DeadlineExceeded: No answer within the timeout.
            Misconfigured: It refuses the request for good.
        """
        ...


def complete_patiently(model: LanguageModel, system: str, user: str, wait: Callable[[float], None]) -> str:
    """Asks up to three times, with a pause that doubles.

    Args:
        model: Who answers.
        system: What it shall do.
        user: With what.
        wait: Pauses for so many seconds; raises to end the work.

    Raises:
        Unavailable, DeadlineExceeded: It did not answer three times in a row.
        Misconfigured: It refuses the request for good.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return model.complete(system, user)
        except (Unavailable, DeadlineExceeded) as error:
            wait(error.retry_after_seconds or 2.0**attempt)
    return model.complete(system, user)
