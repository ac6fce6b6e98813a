"""What a run has done and found so far; threads write to it."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from embedloop.errors import EmbedloopError

LAST = 60
MOST_FINDINGS = 50
# Kinds of findings: what must never happen.
LOST_WRITE, LOST_FEEDBACK, LOST_JOB = "lost_write", "lost_feedback", "lost_job"
DELETED, OUTDATED, MIXED = "deleted_returned", "outdated_returned", "mixed"
INTERNAL, REFUSED, JOB_FAILED, DISAGREE = "internal_error", "refused", "job_failed", "parts_disagree"
KINDS = (
    *(LOST_WRITE, LOST_FEEDBACK, LOST_JOB),
    *(DELETED, OUTDATED, MIXED),
    *(INTERNAL, REFUSED, JOB_FAILED, DISAGREE),
)


@dataclass
class Record:
    """Counts, findings and the last operations.

    Attributes:
        done: What was acknowledged or answered, by kind.
        errors: Codes of calls that failed, as they may while parts are down.
        kills: By part.
        found: Findings by kind; all must be 0 at the end.
        findings: The first findings in words.
        last: The last operations in words, with seconds since the begin.
    """

    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST))
    step: int = 0
    _said: str = ""
    _begin: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begin

    def note(self, text: str) -> None:
        """Remembers one operation in words; what is said again and again is kept once."""
        with self._lock:
            if text != self._said:
                self.last.append(f"{self.seconds:8.2f} s  step {self.step:5}  {text[:200]}")
            self._said = text

    def count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.done[name] += number

    def killed(self, part: str) -> None:
        with self._lock:
            self.kills[part] += 1
        self.note(f"kill -9 {part}")

    def failed(self, call: str, error: EmbedloopError) -> None:
        """A call failed; that is only right with an error that says that a part is away."""
        with self._lock:
            self.errors[error.code] += 1
        self.note(f"{call}: {error.code}: {error.message}")
        if error.code == EmbedloopError.code:
            self.find(INTERNAL, f"{call}: {error.message}")

    def find(self, kind: str, text: str) -> None:
        """Something that must never happen has happened."""
        with self._lock:
            self.found[kind] += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(f"step {self.step}, {self.seconds:.1f} s: {kind}: {text}")
        self.note(f"FOUND {kind}: {text}")

    def verdict(self) -> Mapping[str, int]:
        """Every kind of finding with its count."""
        with self._lock:
            return {kind: self.found[kind] for kind in KINDS}
