"""A training that ends with the clock: how far it is, and its learning rate there."""

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


def rate_share(progress: float, warmup_ratio: float) -> float:
    """Share of the full learning rate: linear warm-up, then linear decay to zero, as the library's by steps.

    >>> [rate_share(at, 0.1) for at in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup_ratio:
        return progress / warmup_ratio
    return 1.0 if warmup_ratio == 1.0 else (1.0 - progress) / (1.0 - warmup_ratio)
