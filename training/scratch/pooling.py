"""Smooth inverse frequency: how word vectors become the vector of a text (SIF, Arora et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def sif_weights(words: Sequence[str], counts: Mapping[str, int], a: float) -> NDArray[np.float32]:
    """What each word weighs in a text: a / (a + p), p its share of all counted words; (n,) float32.

    >>> sif_weights(["the", "gout"], {"the": 999, "gout": 1}, a=0.001).astype(str).tolist()
    ['0.001', '0.5']
    """
    total = sum(counts.values())
    shares = np.array([counts.get(word, 0) / total for word in words])
    return (a / (a + shares)).astype(np.float32)


def text_means(rows: Matrix, texts: Iterable[Sequence[int]]) -> Matrix:
    """Mean of each text's rows: (texts, dim) float32; texts without tokens are left out."""
    means = [rows[list(ids)].mean(axis=0) for ids in texts if ids]
    return np.asarray(means, dtype=np.float32).reshape(len(means), rows.shape[1])


def principal_directions(means: Matrix) -> Matrix:
    """Right singular vectors of the means, not centred, the strongest first: (dim, dim), orthonormal rows."""
    gram = means.astype(np.float64).T @ means.astype(np.float64)
    _, vectors = np.linalg.eigh(gram)
    # eigh sorts the weakest first and leaves the sign to chance.
    directions = vectors.T[::-1]
    strongest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), strongest])
    return np.asarray(directions * signs[:, None], dtype=np.float32)


def without(directions: Matrix) -> Matrix:
    """The projection that removes orthonormal directions: (dim, dim), symmetric.

    >>> without(np.array([[1.0, 0.0]], dtype=np.float32)).tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    identity = np.eye(directions.shape[1], dtype=np.float32)
    return np.asarray(identity - directions.T @ directions, dtype=np.float32)
