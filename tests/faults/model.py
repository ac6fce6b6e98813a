"""The dictionary that the service is compared with: what was acknowledged, and what is in doubt. No I/O.

Each write takes a number of its own, which an upsert puts into the document's metadata, so that every hit says
which write it came from. An operation whose acknowledgement was lost leaves its document in several possible
states, until the service shows one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

# Metadata field that holds the number of the write.
NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Content:
    """What one upsert wrote."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class State:
    """A document after its write `number`; without content it is deleted, and number 0 is before any write."""

    number: int
    content: Content | None

    @property
    def is_live(self) -> bool:
        return self.content is not None


NEVER = State(0, None)


@dataclass(frozen=True, slots=True)
class Moment:
    """What could be there when a search was sent: the last number given out, and each document's states."""

    number: int
    possible: Mapping[str, tuple[State, ...]]

    def fault(self, document_id: str, number: int) -> str | None:
        """Why a hit of this write should not be in the answer; None when it may.

        >>> gone = Moment(2, {"d": (State(2, None),)})
        >>> gone.fault("d", 1), gone.fault("d", 3)
        ('deleted', None)
        """
        states = self.possible.get(document_id, (NEVER,))
        # A write that began after the search was sent may be seen by it or not.
        if number > self.number or any(s.is_live and s.number == number for s in states):
            return None
        return "outdated" if any(s.is_live for s in states) else "deleted"


@dataclass
class Documents:
    """Documents by id; safe to be read by threads while the driver writes."""

    _possible: dict[str, tuple[State, ...]] = field(default_factory=dict)
    _contents: dict[tuple[str, int], Content] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, document_id: str, content: Content | None) -> State:
        """A write is about to be sent: from now on its outcome is one of the possible states."""
        with self._lock:
            self._number = next(self._numbers)
            state = State(self._number, content)
            if content is not None:
                self._contents[document_id, state.number] = content
            self._possible[document_id] = (*self._possible.get(document_id, (NEVER,)), state)
            return state

    def acknowledge(self, document_id: str, state: State) -> None:
        """The write was acknowledged: nothing before it is possible any more."""
        with self._lock:
            later = [s for s in self._possible[document_id] if s.number > state.number]
            self._possible[document_id] = (state, *later)

    def repeat(self, document_id: str) -> State | None:
        """The state to write once more; None when it is in doubt or deleted."""
        states = self.states(document_id)
        return states[0] if len(states) == 1 and states[0].is_live else None

    def withdraw(self, document_id: str, state: State) -> None:
        """The write was refused: it changed nothing."""
        with self._lock:
            left = tuple(s for s in self._possible[document_id] if s != state)
            self._possible[document_id] = left

    def missing(self, document_id: str, state: State) -> bool:
        """A delete was refused, for there is no such document: it changed nothing.

        Returns:
            Whether that was possible; when it was not, an acknowledged write has been lost.
        """
        with self._lock:
            others = [s for s in self._possible[document_id] if s != state]
            gone = [s for s in others if not s.is_live and s.number < state.number]
            later = [s for s in others if s.number > state.number]
            self._possible[document_id] = (*(gone[-1:] or [State(state.number, None)]), *later)
            return bool(gone)

    def pin(self, document_id: str, number: int | None) -> bool:
        """Takes what the service shows now (None: no such document) for true.

        Returns:
            Whether that was possible; what was not is taken all the same, so that it is told once.
        """
        with self._lock:
            states = self._possible.get(document_id, (NEVER,))
            seen = [s for s in states if (s.number == number if s.is_live else number is None)]
            if seen:
                self._possible[document_id] = (seen[-1],)
                return True
            content = None if number is None else self._contents.get((document_id, number))
            self._possible[document_id] = (State(number or 0, content),)
            return False

    def moment(self) -> Moment:
        with self._lock:
            return Moment(self._number, dict(self._possible))

    def states(self, document_id: str) -> tuple[State, ...]:
        with self._lock:
            return self._possible.get(document_id, (NEVER,))

    def content(self, document_id: str, number: int) -> Content | None:
        """What a write put there; None when it never was."""
        with self._lock:
            return self._contents.get((document_id, number))

    def ids(self) -> list[str]:
        """Every document that was ever written, or tried to be."""
        with self._lock:
            return sorted(self._possible)

    def live(self) -> dict[str, int]:
        """Documents that must be there -> the write that they must show."""
        with self._lock:
            return {
                name: states[0].number
                for name, states in self._possible.items()
                if len(states) == 1 and states[0].is_live
            }

    def in_doubt(self) -> list[str]:
        with self._lock:
            return sorted(name for name, states in self._possible.items() if len(states) > 1)


@dataclass
class Ledger:
    """Everything else that was acknowledged.

    Attributes:
        feedback: Ids of acknowledged feedback.
        jobs: Ids of acknowledged jobs -> what was asked for.
        jobs_in_doubt: Idempotency keys of jobs without an acknowledgement -> what was asked for.
        serving: Index versions that may be in charge.
    """

    feedback: set[str] = field(default_factory=set)
    jobs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    jobs_in_doubt: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    serving: Serving = field(default_factory=lambda: Serving())


@dataclass
class Serving:
    """Which index version may be in charge, given the moves of this round.

    Moves overlap: a promotion by hand may run beside a job that promotes. After a single move that was
    acknowledged its target must serve; otherwise any of the targets, or what served before, may.
    """

    before: str | None = None
    targets: list[str] = field(default_factory=list)
    acknowledged: int = 0
    begun: int = 0

    def begin(self) -> None:
        self.begun += 1

    def acknowledge(self, target: str) -> None:
        self.targets.append(target)
        self.acknowledged += 1

    def refuse(self) -> None:
        """It was never tried."""
        self.begun -= 1

    def doubt(self, targets: Iterable[str]) -> None:
        self.targets.extend(targets)

    def possible(self) -> set[str | None]:
        if self.begun == self.acknowledged == 1:
            return {self.targets[0]}
        return {self.before, *self.targets}

    def pin(self, serving: str | None) -> None:
        """Takes what serves now for true; a new round begins."""
        self.before = serving
        self.targets.clear()
        self.acknowledged = self.begun = 0
