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
    starting from the identity. A fifth of the pairs is held back and chooses how much of the change is kept, so
    that labels that teach nothing give the identity.

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
    _, owners = np.unique(np.asarray(documents), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(queries))
    back = order[: max(1, len(order) // _HELD_BACK)]
    kept = order[len(back) :]
    tensors = (torch.from_numpy(queries), torch.from_numpy(positives), torch.from_numpy(owners))
    change = _train(tuple(one[kept] for one in tensors), seed)
    identity = torch.eye(queries.shape[1])
    held_back = tuple(one[back] for one in tensors)
    losses = [float(_loss(identity + share * change, *held_back)) for share in SHARES]
    best = SHARES[int(np.argmin(losses))]
    return (identity + best * change).numpy()


def adapted(queries: Matrix, adapter: Matrix) -> Matrix:
    """The mapped queries, (n, dim) float32, L2-normalised."""
    moved = queries @ adapter
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)


def _train(pairs: tuple[torch.Tensor, ...], seed: int) -> torch.Tensor:
    queries = pairs[0]
    generator = torch.Generator().manual_seed(seed)
    change = torch.zeros(queries.shape[1], queries.shape[1], requires_grad=True)
    optimiser = torch.optim.AdamW([change], lr=LEARNING_RATE, weight_decay=0.01)
    for _ in range(max(EPOCHS, math.ceil(MIN_STEPS * BATCH / len(queries)))):
        for batch in torch.randperm(len(queries), generator=generator).split(BATCH):
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
