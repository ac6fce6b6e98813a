"""How far a training is that ends with the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """Time from now on, of which `budget_seconds` may be spent."""

    budget_seconds: float
    now: Callable[[], float] = time.monotonic
    begin: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "begin", self.now())

    def progress(self) -> float:
        """Share of the budget that is spent, 0..1."""
        if self.budget_seconds <= 0:
            return 1.0
        return min(1.0, (self.now() - self.begin) / self.budget_seconds)
