"""First vectors of a tokenizer's pieces: latent semantic analysis of the corpus in these pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedloop.errors import TrainingFailed
from training.scratch.latent import count_words, word_vectors
from training.scratch.pooling import sif_weights

# Of the weights of pieces, as `WordVectors.a`.
_A = 3e-4
# Of the pieces so many are shorter than what is added to all of them.
_SHORTER_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class FirstVectors:
    """Vectors for an embedding with a layer norm behind it, which gives all vectors one length.

    With `common` added to each, the norm leaves the differences of their lengths: a frequent piece is nearly
    `common` alone and says little in a mean, as in SIF (Arora et al. 2017).

    Attributes:
        ids: Of the pieces that the texts have.
        rows: (pieces, dim) float32, as long as the pieces weigh.
        common: (dim,) float32, at right angles to all rows.
    """

    ids: list[int]
    rows: NDArray[np.float32]
    common: NDArray[np.float32]


def first_vectors(
    tokenizer: Tokenizer, texts: Sequence[Sequence[str]], dimension: int, seed: int, size: float
) -> FirstVectors:
    """Learns vectors of pieces.

    A layer norm also takes the mean of a vector's numbers away: the space is turned at random, so that no
    direction of it is lost.

    Args:
        tokenizer: Whose pieces they are.
        texts: Each cut into its pieces.
        dimension: Of the vectors.
        seed: Of the turn, and of latent semantic analysis.
        size: Root mean square of the rows' numbers.

    Raises:
        TrainingFailed: There are fewer than two texts or pieces.
    """
    counts = count_words(texts, 1, tokenizer.get_vocab_size())
    if len(texts) < 2 or len(counts) < 2:
        raise TrainingFailed(
            f"from_scratch: a transformer needs two texts and pieces, got {len(texts)} and {len(counts)}"
        )
    found = word_vectors(texts, counts, _A, dimension - 1, seed)
    found *= sif_weights(list(counts), counts, _A)[:, None]
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0].astype(np.float32)
    rows = found @ turn[: found.shape[1]]
    rows *= np.float32(size / (float(np.sqrt(np.mean(rows**2))) or 1.0))
    length = np.quantile(np.linalg.norm(rows, axis=1), _SHORTER_SHARE)
    vocabulary = tokenizer.get_vocab()
    ids = [vocabulary[piece] for piece in counts]
    return FirstVectors(ids, rows, np.asarray(turn[-1] * length, dtype=np.float32))
