"""Encoding of many texts within a stage, which may be told to stop in its midst."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from embedloop.encoder import Vectors
from embedloop.jobs import Lease
from embedloop.slices import slices

TEXTS_PER_STEP = 64


def encoded(
    encode: Callable[[Sequence[str]], Vectors],
    texts: Sequence[str],
    lease: Lease,
    share: tuple[float, float],
) -> Vectors:
    """Vectors (n, dim) of one or more texts, in steps between which the lease is asked.

    Args:
        encode: One of an encoder's two ways.
        texts: What to encode.
        lease: Told the progress.
        share: The part of the stage's progress, from and to, that this is.
    """
    done: list[Vectors] = []
    so_far = 0
    for part in slices(texts, TEXTS_PER_STEP):
        done.append(encode(part))
        so_far += len(part)
        lease.progress(share[0] + (share[1] - share[0]) * so_far / len(texts))
    return np.concatenate(done)
