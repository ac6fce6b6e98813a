"""A linear map on query vectors: the cheapest thing that learns from labels, a probe of what they teach."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from embedloop.errors import InvalidInput

EPOCHS = 15
# Few pairs are seen more often: what they do not bear is taken back by the ones held back.
MIN_STEPS = 100
BATCH = 128
LEARNING_RATE = 2e-3
TEMPERATURE = 0.05
# How much of what was learnt is kept; chosen on the pairs that were held back.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_HELD_BACK = 5

Matrix = NDArray[np.float32]


def fit_adapter(queries: Matrix, positives: Matrix, documents: Sequence[str], seed: int = 13) -> Matrix:
    """Learns a map that moves queries towards what answers them.

    The loss contrasts each pair with the other documents of its batch (InfoNCE, van den Oord et al. 2018),
    starting from the identity. A fifth of the pairs is held back and chooses how much of the change is kept, by
    mean reciprocal rank, so that little is lost where labels teach nothing.

    Args:
        queries: (n, dim) float32, L2-normalised.
        positives: (n, dim) float32, L2-normalised: what answers each.
        documents: n ids; pairs of one document are never each other's negatives.
        seed: The same seed and pairs give the same map.

    Returns:
        (dim, dim) float32; `adapted` applies it.

    Raises:
        InvalidInput: The numbers of queries, positives and ids differ, or there are fewer than two pairs.
    """
    if not len(queries) == len(positives) == len(documents) or len(queries) < 2:
        raise InvalidInput(
            f"an adapter needs two pairs or more, got {len(queries)} queries, {len(positives)} positives and "
            f"{len(documents)} ids"
        )
    _, numbers = np.unique(np.asarray(documents), return_inverse=True)
    owners = torch.from_numpy(numbers)
    order = np.random.default_rng(seed).permutation(len(queries))
    back = order[: max(1, len(order) // _HELD_BACK)]
    kept = order[len(back) :]
    pairs = (torch.from_numpy(queries), torch.from_numpy(positives), owners)
    change = np.asarray(_train(tuple(one[kept] for one in pairs), seed), dtype=np.float32)
    maps = [np.eye(queries.shape[1], dtype=np.float32) + np.float32(share) * change for share in SHARES]
    # Of equals the first, which changes least.
    found = [_reciprocal_rank(adapted(queries[back], one), positives, numbers, back) for one in maps]
    return maps[int(np.argmax(found))]


def adapted(queries: Matrix, adapter: Matrix) -> Matrix:
    """The mapped queries, (n, dim) float32, L2-normalised."""
    moved = queries @ adapter
    lengths = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    return np.asarray(moved / lengths, dtype=np.float32)


def _reciprocal_rank(
    queries: Matrix, positives: Matrix, owners: NDArray[np.int64], rows: NDArray[np.int64]
) -> float:
    """Mean over queries of 1 / rank of their own positive among all; others of its document do not count."""
    scores = queries @ positives.T
    own = scores[np.arange(len(rows)), rows][:, None]
    others = owners[None, :] != owners[rows][:, None]
    return float(np.mean(1.0 / (1 + np.sum((scores > own) & others, axis=1))))


def _train(pairs: tuple[torch.Tensor, ...], seed: int) -> torch.Tensor:
    queries = pairs[0]
    generator = torch.Generator().manual_seed(seed)
    change = torch.zeros(queries.shape[1], queries.shape[1], requires_grad=True)
    optimiser = torch.optim.AdamW([change], lr=LEARNING_RATE, weight_decay=0.01)
    for _ in range(max(EPOCHS, math.ceil(MIN_STEPS * BATCH / len(queries)))):
        order = torch.randperm(len(queries), generator=generator)
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            optimiser.zero_grad()
            loss = _loss(torch.eye(queries.shape[1]) + change, *(one[batch] for one in pairs))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return change.detach()


def _loss(
    adapter: torch.Tensor, queries: torch.Tensor, positives: torch.Tensor, owners: torch.Tensor
) -> torch.Tensor:
    moved = torch.nn.functional.normalize(queries @ adapter, dim=1)
    scores = moved @ positives.T / TEMPERATURE
    same = (owners[:, None] == owners[None, :]) & ~torch.eye(len(owners), dtype=torch.bool)
    target = torch.arange(len(owners))
    return torch.nn.functional.cross_entropy(scores.masked_fill(same, float("-inf")), target)
