"""Latent semantic analysis (Deerwester et al. 1990) of texts whose words are weighted by frequency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from training.scratch.pooling import sif_weights


def count_words(texts: Sequence[Sequence[str]], least: int, most: int) -> dict[str, int]:
    """The `most` most frequent words that occur at least `least` times, the most frequent first.

    >>> count_words([["gout", "is", "gout"], ["is", "it"]], least=2, most=10)
    {'gout': 2, 'is': 2}
    """
    counted = Counter(word for text in texts for word in text)
    frequent = sorted((-count, word) for word, count in counted.items() if count >= least)
    return {word: -count for count, word in frequent[:most]}


def word_vectors(
    texts: Sequence[Sequence[str]], counts: Mapping[str, int], a: float, dimension: int, seed: int
) -> NDArray[np.float32]:
    """Right singular vectors of the texts' weighted words: what maps a text into the space of all texts.

    Args:
        texts: Each a list of words; at least two.
        counts: The words that count, at least two; their order is that of the rows.
        a: Of the weights, a / (a + p) (`sif_weights`).
        dimension: Wanted; there cannot be as many as there are texts or words.
        seed: Of the random projection (Halko et al. 2011) that finds them.

    Returns:
        (words, dimension or fewer) float32.
    """
    matrix = _matrix(texts, list(counts), sif_weights(list(counts), counts, a))
    rank = min(dimension, min(matrix.shape) - 1)
    _, _, directions = randomized_svd(matrix, n_components=rank, random_state=seed)
    return np.asarray(directions.T, dtype=np.float32)


def _matrix(texts: Sequence[Sequence[str]], words: Sequence[str], weights: NDArray[np.float32]) -> csr_matrix:
    """(texts, words) float64, rows of unit length."""
    places = {word: place for place, word in enumerate(words)}
    rows = [(row, places[word]) for row, text in enumerate(texts) for word in text if word in places]
    at = np.array(rows, dtype=np.int64).reshape(-1, 2)
    values = weights[at[:, 1]].astype(np.float64)
    matrix = csr_matrix((values, (at[:, 0], at[:, 1])), shape=(len(texts), len(words)))
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1)).A1
    return csr_matrix(matrix.multiply(1 / np.maximum(lengths, 1e-12)[:, None]))
