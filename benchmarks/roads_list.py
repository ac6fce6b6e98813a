"""The roads: a name, a title, the sets where one makes sense, and how it is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.roads_measure import Reached, reached
from benchmarks.roads_walk import Walk


@dataclass(frozen=True, slots=True)
class Road:
    """One road.

    Attributes:
        name: In the report.
        title: For readers.
        go: Goes it on one data set.
        sets: The only ones where it is gone; None goes it on all.
    """

    name: str
    title: str
    go: Callable[[Walk], Reached]
    sets: frozenset[str] | None = None

    def leads(self, name: str) -> bool:
        return self.sets is None or name in self.sets


def _fine_tune(walk: Walk) -> Reached:
    return reached(walk.tuned_served, walk.ranking, walk.tuned.cpu_seconds)


ROADS = (
    Road("base", "base model", lambda walk: walk.base_reached),
    Road("bm25", "BM25", Walk.words),
    Road("finetune", "fine-tuned on labels", _fine_tune),
)
