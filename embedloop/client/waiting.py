"""How long to wait for a job, and how often to look. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

from embedloop.client.results import Json
from embedloop.errors import DeadlineExceeded
from embedloop.records.jobs import JobState

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_ENDED = frozenset(state.value for state in JobState if state.ended)


class JobWatch:
    """Looks at one job until it ends or the time is up.

    It asks again and again instead of following events: so it survives a restart of the service and proxies
    that hold streams back, and keeps to its deadline.
    """

    def __init__(self, job_id: str, timeout_seconds: float, on_progress: Callable[[Json], None] | None):
        self._job_id = job_id
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._on_progress = on_progress
        self._last: Json | None = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def ended(self, job: Json) -> bool:
        """Take the job as it is now, tell of a change, and say whether it ended."""
        if job != self._last and self._on_progress is not None:
            self._on_progress(job)
        self._last = job
        return job["state"] in _ENDED

    def next_pause(self) -> float:
        """Seconds until the next look.

        Raises:
            DeadlineExceeded: The time is up; the job goes on.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            seen = f"{self._last['state']} ({self._last['stage']})" if self._last else "not readable"
            raise DeadlineExceeded(
                f"job {self._job_id} has not ended within {self._timeout_seconds:g} s: it is {seen}"
            )
        pause = min(self._pause_seconds, left)
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        return pause
