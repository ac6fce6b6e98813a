"""The kinds of map that queries may take, and how each is learnt from pairs.

Turning is orthogonal Procrustes (Schönemann 1966), with the identity as prior; the others contrast each pair
with the other documents of its batch (InfoNCE, van den Oord et al. 2018), starting from the identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from embedloop.query_map import QueryMap
from embedloop.recipe.query_map import MapKind, QueryMapSettings

EPOCHS = 15
# Few pairs are seen more often: what they do not bear is taken back by the ones held back.
MIN_STEPS = 100
BATCH = 128
LEARNING_RATE = 2e-3
TEMPERATURE = 0.05

Matrix = NDArray[np.float32]
Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Queries and what answers them.

    Attributes:
        queries: (n, dim) float32, L2-normalised.
        positives: (n, dim) float32, L2-normalised.
        documents: n ids; pairs of one document are never each other's negatives.
    """

    queries: Matrix
    positives: Matrix
    documents: Sequence[str]

    def __post_init__(self) -> None:
        if not len(self.queries) == len(self.positives) == len(self.documents):
            raise InvalidInput(
                f"pairs need as many queries as positives and ids, got {len(self.queries)}, "
                f"{len(self.positives)} and {len(self.documents)}"
            )

    def __len__(self) -> int:
        return len(self.documents)

    def take(self, rows: NDArray[np.int64]) -> Pairs:
        """The pairs of these rows, in their order."""
        return Pairs(self.queries[rows], self.positives[rows], [self.documents[row] for row in rows])


def learn_map(
    pairs: Pairs, settings: QueryMapSettings, seed: int, check: Callable[[], None] = lambda: None
) -> QueryMap:
    """Learns a map of the kind that the settings name.

    Args:
        pairs: Two or more.
        settings: Kind, size, and regularisation toward the identity.
        seed: The same seed and pairs give the same map.
        check: Called between steps; raises what shall end the fit.
    """
    if settings.kind == "procrustes":
        return QueryMap.linear(turn_between(pairs.queries, pairs.positives, settings.regularisation))
    weights = _train(pairs, settings, seed, check)
    return _MAP_OF[settings.kind](weights)


def turn_between(left: Matrix, right: Matrix, regularisation: float = 0.0) -> Matrix:
    """The turn W, (in, out) with orthonormal columns or rows, that brings `left @ W` nearest to `right`.

    Args:
        left: (n, in) float32, L2-normalised.
        right: (n, out) float32, L2-normalised.
        regularisation: Weight of the identity, for equal dimensions.
    """
    cross = left.T.astype(np.float64) @ right / len(left)
    if regularisation:
        cross += regularisation / len(cross) * np.eye(len(cross))
    u, _, v = np.linalg.svd(cross, full_matrices=False)
    return np.asarray(u @ v, dtype=np.float32)


def _train(pairs: Pairs, settings: QueryMapSettings, seed: int, check: Callable[[], None]) -> Weights:
    dimension = pairs.queries.shape[1]
    generator = torch.Generator().manual_seed(seed)
    weights = _begun(settings, dimension, generator)
    _, numbers = np.unique(np.asarray(pairs.documents), return_inverse=True)
    tensors = (torch.from_numpy(pairs.queries), torch.from_numpy(pairs.positives), torch.from_numpy(numbers))
    cost = settings.regularisation / dimension
    optimiser = torch.optim.Adam(list(weights.values()), lr=LEARNING_RATE)
    for _ in range(max(EPOCHS, math.ceil(MIN_STEPS * BATCH / len(pairs)))):
        order = torch.randperm(len(pairs), generator=generator)
        check()
        for first in range(0, len(order), BATCH):
            queries, positives, owners = (one[order[first : first + BATCH]] for one in tensors)
            optimiser.zero_grad()
            loss = _loss(queries + _change(settings.kind, weights, queries), positives, owners)
            total = loss + cost * _distance(settings.kind, weights)
            total.backward()
            optimiser.step()
    return {name: weight.detach() for name, weight in weights.items()}


def _begun(settings: QueryMapSettings, dimension: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Weights that change nothing yet."""
    inner = {"affine": dimension, "low_rank": settings.rank, "mlp": settings.hidden}[settings.kind]
    weights = {"up": torch.zeros(inner, dimension)}
    if settings.kind == "affine":
        weights["bias"] = torch.zeros(dimension)
    else:
        weights["down"] = torch.randn(dimension, inner, generator=generator) / math.sqrt(dimension)
    if settings.kind == "mlp":
        weights["shift"] = torch.zeros(inner)
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def _change(kind: MapKind, weights: Weights, queries: torch.Tensor) -> torch.Tensor:
    """What is added to the queries, (n, dim)."""
    if kind == "affine":
        return queries @ weights["up"] + weights["bias"]
    inner = queries @ weights["down"]
    return (torch.tanh(inner + weights["shift"]) if kind == "mlp" else inner) @ weights["up"]


def _distance(kind: MapKind, weights: Weights) -> torch.Tensor:
    """Squared distance from the identity; that of what leaves the hidden units, where there are any."""
    matrix = weights["down"] @ weights["up"] if kind == "low_rank" else weights["up"]
    shift = weights["bias"] if kind == "affine" else torch.zeros(1)
    return matrix.square().sum() + shift.square().sum()


def _loss(moved: torch.Tensor, positives: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
    scores = torch.nn.functional.normalize(moved, dim=1) @ positives.T / TEMPERATURE
    same = (owners[:, None] == owners[None, :]) & ~torch.eye(len(owners), dtype=torch.bool)
    return torch.nn.functional.cross_entropy(scores.masked_fill(same, float("-inf")), torch.arange(len(owners)))


def _affine(weights: Weights) -> QueryMap:
    return QueryMap.linear(_same(weights) + weights["up"].numpy(), weights["bias"].numpy())


def _low_rank(weights: Weights) -> QueryMap:
    return QueryMap.linear(_same(weights) + (weights["down"] @ weights["up"]).numpy())


def _mlp(weights: Weights) -> QueryMap:
    same = _same(weights)
    return QueryMap(
        matrix=same,
        bias=np.zeros(len(same), dtype=np.float32),
        down=weights["down"].numpy(),
        shift=weights["shift"].numpy(),
        up=weights["up"].numpy(),
    )


def _same(weights: Weights) -> Matrix:
    return np.eye(weights["up"].shape[1], dtype=np.float32)


_MAP_OF: Mapping[str, Callable[[Weights], QueryMap]] = {"affine": _affine, "low_rank": _low_rank, "mlp": _mlp}
