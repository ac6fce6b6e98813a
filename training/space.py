"""How embeddings lie in their space: alignment, uniformity, anisotropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Space:
    """Where a model puts texts, all on the unit sphere.

    Attributes:
        alignment: Mean squared distance of a query from its document, 0..4; smaller is nearer (Wang & Isola
            2020, arXiv:2005.10242, with exponent 2).
        uniformity: Log of the mean Gaussian potential exp(-2 d^2) over pairs of texts, at most 0; smaller is
            more evenly spread (the same paper, t = 2).
        anisotropy: Mean cosine of two different texts; 0 is no preferred direction (Ethayarajh 2019,
            arXiv:1909.00512).
    """

    alignment: float
    uniformity: float
    anisotropy: float


def space_of(queries: NDArray[np.float32], positives: NDArray[np.float32], texts: NDArray[np.float32]) -> Space:
    """Measures a space.

    Args:
        queries: (n, dim) float32, L2-normalised.
        positives: (n, dim) float32, L2-normalised; row i answers query i.
        texts: (m, dim) float32, L2-normalised, of m >= 2 different texts.
    """
    near = np.einsum("nd,nd->n", queries, positives, dtype=np.float64)
    rows, columns = np.triu_indices(len(texts), k=1)
    cosines = (texts @ texts.T)[rows, columns].astype(np.float64)
    return Space(
        alignment=float(np.mean(2.0 - 2.0 * near)),
        uniformity=float(np.log(np.mean(np.exp(-2.0 * (2.0 - 2.0 * cosines))))),
        anisotropy=float(np.mean(cosines)),
    )
