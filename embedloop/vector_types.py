"""Types of stored vectors: how they are packed for Milvus, what a row gives back, and how far it may be off.

Vectors are `(n, dim)` float32 and L2-normalised before they are packed. Packing what was unpacked gives the
same bits, so that a copy of a copy is as good as the first.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from embedloop.encoder import Vectors
from embedloop.policy import VectorType

VECTOR_FIELD = "vector"
# Beside bits: the same vector in int8, as text, for Milvus wants an index over every field of vectors.
FINE_FIELD = "fine"
_PEAK = 127
_NUMBERS: Mapping[VectorType, Any] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "int8": np.int8,
}
# Half a unit in the last place, of a vector of length one.
_ROUNDING: Mapping[VectorType, float] = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def packed(vectors: Vectors, vector_type: VectorType) -> list[NDArray[Any]]:
    """What Milvus takes for `vector`, in rows and in queries: n arrays, of numbers or of packed bits.

    int8 has one scale a vector, its greatest number being 127: the cosine does not see it. A bit says whether
    the int8 number is above zero; bits are filled up with zeros to whole bytes.
    """
    if vector_type == "binary":
        return list(np.packbits(_as_int8(vectors) > 0, axis=1))
    if vector_type == "int8":
        return list(_as_int8(vectors))
    return list(vectors.astype(_NUMBERS[vector_type]))


def beside(vectors: Vectors, vector_type: VectorType) -> list[dict[str, str]]:
    """The other fields that n rows get: of bits, the int8 vector in base64."""
    if vector_type != "binary":
        return [{} for _ in vectors]
    return [{FINE_FIELD: base64.b64encode(row.tobytes()).decode()} for row in _as_int8(vectors)]


def field_dimension(dimension: int, vector_type: VectorType) -> int:
    """Of the field in Milvus: bits come in whole bytes.

    >>> field_dimension(100, "binary"), field_dimension(100, "int8")
    (104, 100)
    """
    return -(-dimension // 8) * 8 if vector_type == "binary" else dimension


def fine_characters(dimension: int) -> int:
    """Length of the text beside the bits.

    >>> fine_characters(384), fine_characters(32)
    (512, 44)
    """
    return -(-dimension // 3) * 4


def finest_field(vector_type: VectorType) -> str:
    """The field of a row that says most about its vector."""
    return FINE_FIELD if vector_type == "binary" else VECTOR_FIELD


def unpacked(stored: Any, vector_type: VectorType) -> Vectors:
    """The vector `(dim,)` float32 of a row's finest field as pymilvus hands it out.

    int8 is L2-normalised; 16 bits are so up to their rounding.
    """
    if vector_type == "binary":
        return _normalised(np.frombuffer(base64.b64decode(stored), dtype=np.int8))
    # Of a query bytes come in a list of one, of a search bare.
    if isinstance(stored, list) and len(stored) == 1 and isinstance(stored[0], bytes):
        stored = stored[0]
    if isinstance(stored, bytes):
        stored = np.frombuffer(stored, dtype=_NUMBERS[vector_type])
    vector = np.asarray(stored, dtype=np.float32)
    return _normalised(vector) if vector_type == "int8" else vector


def error_bounds(vectors: Vectors, vector_type: VectorType) -> NDArray[np.float32]:
    """How far the cosine with any query may be from that of the vector before it was packed, at most: `(n,)`.

    |q.x - q.y| <= |x - y| for a query of length one. Of int8 each number is off by at most half a step, and a
    step is the greatest number divided by 127; the two percent are for its not being known before the rounding.

    Args:
        vectors: (n, dim) as they were unpacked.
        vector_type: That they were packed with.
    """
    if vector_type in _ROUNDING:
        return np.full(len(vectors), _ROUNDING[vector_type], dtype=np.float32)
    half_step = np.abs(vectors).max(axis=1, initial=0.0) / (2 * _PEAK)
    return np.asarray(1.02 * half_step * np.sqrt(vectors.shape[1]), dtype=np.float32)


def bytes_a_vector(dimension: int, vector_type: VectorType) -> tuple[int, int]:
    """Bytes of what is searched, and of what lies beside it as text.

    >>> [bytes_a_vector(384, one) for one in ("float32", "float16", "int8", "binary")]
    [(1536, 0), (768, 0), (384, 0), (48, 512)]
    """
    if vector_type == "binary":
        return field_dimension(dimension, vector_type) // 8, fine_characters(dimension)
    return dimension * np.dtype(_NUMBERS[vector_type]).itemsize, 0


def _as_int8(vectors: Vectors) -> NDArray[np.int8]:
    peaks = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    return np.rint(vectors * (_PEAK / np.where(peaks > 0, peaks, 1))).astype(np.int8)


def _normalised(numbers: NDArray[Any]) -> Vectors:
    vector = numbers.astype(np.float32)
    return vector / max(float(np.linalg.norm(vector)), 1.0)
