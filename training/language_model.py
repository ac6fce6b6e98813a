"""A language model as training sees it: text in, text out. Whoever calls brings one."""

from __future__ import annotations

from typing import Protocol


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
