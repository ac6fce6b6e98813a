"""How long a fine-tune learns, and how fast at each of its steps."""

from __future__ import annotations

# About what a small encoder needs before more of the same brings little.
_PAIRS_SEEN = 4000
_MOST_EPOCHS = 4.0


def epochs_for(pairs: int) -> float:
    """How often to go through so many pairs where the policy does not say: few pairs are seen more often.

    >>> [epochs_for(pairs) for pairs in (100, 1250, 4000, 50_000)]
    [4.0, 3.2, 1.0, 1.0]
    """
    return min(_MOST_EPOCHS, max(1.0, round(_PAIRS_SEEN / max(1, pairs), 1)))


def rate_share(step: float, steps: float, warmup: float) -> float:
    """Share of the full learning rate at a step: linear warm-up, then linear decay to zero.

    >>> [rate_share(step, steps=100, warmup=10) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return step / warmup
    return max(0.0, (steps - step) / max(1e-9, steps - warmup))


def budget_share(seconds: float, budget_seconds: float) -> float:
    """Greatest share of the learning rate that the time left allows: it falls to zero over the second half.

    A training that fits into its budget never meets this bound, so that its weights do not depend on the clock;
    one that does not fit ends with small steps, as one with fewer steps would.

    >>> [budget_share(seconds, budget_seconds=100) for seconds in (0, 50, 75, 100, 120)]
    [1.0, 1.0, 0.5, 0.0, 0.0]
    """
    return min(1.0, max(0.0, 2.0 * (1.0 - seconds / budget_seconds)))
