"""How much is measured: the full sizes, and the small ones of a smoke test."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 13
TOP_K = 10
CLIENTS = (1, 8, 32)
OPEN_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """Sizes of one run.

    Attributes:
        terms: Documents of the corpus.
        warm_up_seconds: Load before each measured level.
        least_requests: A closed level measures at least so many searches,
        least_seconds: and at least so long,
        most_seconds: but never longer than this.
        open_seconds: Length of the open-loop level.
        floor_requests: Searches of the bare parts.
        pairs: Training pairs.
        held_out: Queries that the trained models are compared on.
        pool: Documents that those queries are ranked against.
        repeats: Trainings of each kind, each with a seed of its own.
    """

    terms: int
    warm_up_seconds: float = 5.0
    least_requests: int = 1000
    least_seconds: float = 20.0
    most_seconds: float = 60.0
    open_seconds: float = 30.0
    floor_requests: int = 1024
    pairs: int = 1000
    held_out: int = 200
    pool: int = 1000
    repeats: int = 2

    @classmethod
    def quick(cls, terms: int) -> BenchPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(
            terms=terms,
            warm_up_seconds=1.0,
            least_requests=50,
            least_seconds=3.0,
            most_seconds=6.0,
            open_seconds=3.0,
            floor_requests=64,
            pairs=128,
            held_out=40,
            pool=200,
            repeats=1,
        )
