"""First vectors of a tokenizer's pieces: latent semantic analysis of the corpus in these pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedloop.errors import TrainingFailed
from training.scratch.latent import count_words, word_vectors

# Of the weights of pieces, as `WordVectors.a`.
_A = 3e-4


def latent_pieces(
    tokenizer: Tokenizer, texts: Sequence[Sequence[str]], dimension: int, seed: int
) -> tuple[list[int], NDArray[np.float32]]:
    """Vectors of the pieces that texts have.

    A layer norm takes the mean of a vector's numbers away, and its length: the space is turned at random, so
    that no direction of it is lost, and all vectors have one length.

    Args:
        tokenizer: Whose pieces they are.
        texts: Each cut into its pieces.
        dimension: Of the vectors.
        seed: Of the turn, and of latent semantic analysis.

    Returns:
        Ids of the pieces, and (pieces, dimension) float32 with rows of length 1.

    Raises:
        TrainingFailed: There are fewer than two texts or pieces.
    """
    counts = count_words(texts, 1, tokenizer.get_vocab_size())
    if len(texts) < 2 or len(counts) < 2:
        raise TrainingFailed(
            f"from_scratch: a transformer needs two texts and pieces, got {len(texts)} and {len(counts)}"
        )
    found = word_vectors(texts, counts, _A, dimension, seed)
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.standard_normal((dimension, dimension)))
    vectors = found @ turn[: found.shape[1]].astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [tokenizer.token_to_id(piece) for piece in counts]
    return ids, np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
