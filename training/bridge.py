"""A bridge between two models: their queries meet in the space where the older one has put the passages.

Both models encode the same texts. The nearest turn between the two (orthogonal Procrustes, Schönemann 1966) is
where it begins; ridge regression moves away from that turn as far as texts that were held back approve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from embedloop.query_map import QueryMap
from training.map_kinds import Matrix, turn_between

LEAST_TEXTS = 10
# What leaving the turn costs; the first never leaves it.
COSTS = (float("inf"), 10.0, 1.0, 0.1, 0.01)
_HELD_BACK = 5

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bridge:
    """A map from the new model's vectors to the old one's, and how well it leads there.

    Attributes:
        query_map: The map, (new dim, old dim).
        turn: Whether it is the turn alone.
        cosine: Mean cosine of held-back texts to where the old model put them, -1..1, greater is nearer.
        learnt_from: Number of texts.
        chosen_on: Number of texts that were held back.
    """

    query_map: QueryMap
    turn: bool
    cosine: float
    learnt_from: int
    chosen_on: int

    def to_json(self) -> dict[str, float | bool]:
        """Everything but the map."""
        return {
            "turn": self.turn,
            "cosine": self.cosine,
            "learnt_from": self.learnt_from,
            "chosen_on": self.chosen_on,
        }


def fit_bridge(new: Matrix, old: Matrix, *, seed: int = 13) -> Bridge:
    """Learns how to get from the new model's vectors of some texts to the old model's.

    Args:
        new: (n, new dim) float32, L2-normalised.
        old: (n, old dim) float32, L2-normalised: the same texts in the same order.
        seed: The same seed and vectors give the same bridge.

    Raises:
        InvalidInput: The numbers of vectors differ, or there are fewer than ten texts.
    """
    if len(new) != len(old) or len(new) < LEAST_TEXTS:
        raise InvalidInput(
            f"a bridge needs {LEAST_TEXTS} texts or more that both models encoded, got {len(new)} and "
            f"{len(old)}"
        )
    order = np.random.default_rng(seed).permutation(len(new))
    back, kept = order[: len(order) // _HELD_BACK], order[len(order) // _HELD_BACK :]
    turn = turn_between(new[kept], old[kept])
    maps = [_leaving(turn, new[kept], old[kept], cost) for cost in COSTS]
    cosines = [float(np.mean(np.sum(one.apply(new[back]) * old[back], axis=1))) for one in maps]
    best = int(np.argmax(cosines))
    return Bridge(maps[best], best == 0, cosines[best], len(kept), len(back))


def _leaving(turn: Matrix, new: Matrix, old: Matrix, cost: float) -> QueryMap:
    """Least squares with a shift, in which a distance from the turn costs as much as one from the texts."""
    if not np.isfinite(cost):
        return QueryMap.linear(turn)
    centre, target = new.mean(axis=0, dtype=np.float64), old.mean(axis=0, dtype=np.float64)
    left: Numbers = new - centre
    right: Numbers = old - target
    prior = cost / left.shape[1] * np.eye(left.shape[1])
    matrix = np.linalg.solve(left.T @ left / len(left) + prior, left.T @ right / len(left) + prior @ turn)
    return QueryMap.linear(matrix.astype(np.float32), (target - centre @ matrix).astype(np.float32))
