"""A map on query vectors that belongs to a model version: queries move, passages stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from embedloop.encoder import Encoder, Vectors, go_on
from embedloop.errors import ModelRefused

QUERY_MAP_FILE = "query_map.safetensors"
# A model of its own for queries, in a model version whose passages another one encodes.
QUERY_MODEL_FOLDER = "query"
_SHORTEST = 1e-12


@dataclass(frozen=True, slots=True)
class QueryMap:
    """`x @ matrix + bias + tanh(x @ down + shift) @ up`, L2-normalised; all arrays are float32.

    Attributes:
        matrix: (in, out).
        bias: (out,).
        down: (in, hidden); a linear map has no hidden units.
        shift: (hidden,).
        up: (hidden, out).
    """

    matrix: Vectors
    bias: Vectors
    down: Vectors
    shift: Vectors
    up: Vectors

    @classmethod
    def linear(cls, matrix: Vectors, bias: Vectors | None = None) -> QueryMap:
        """A map without hidden units."""
        entering, leaving = matrix.shape
        return cls(
            matrix=np.asarray(matrix, dtype=np.float32),
            bias=np.zeros(leaving, dtype=np.float32) if bias is None else np.asarray(bias, dtype=np.float32),
            down=np.zeros((entering, 0), dtype=np.float32),
            shift=np.zeros(0, dtype=np.float32),
            up=np.zeros((0, leaving), dtype=np.float32),
        )

    @classmethod
    def identity(cls, dimension: int) -> QueryMap:
        """Leaves every query where it is."""
        return cls.linear(np.eye(dimension, dtype=np.float32))

    def apply(self, vectors: Vectors) -> Vectors:
        """The mapped vectors, (n, out) float32, L2-normalised."""
        moved = vectors @ self.matrix + self.bias + np.tanh(vectors @ self.down + self.shift) @ self.up
        lengths = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _SHORTEST)
        return np.asarray(moved / lengths, dtype=np.float32)

    def weakened(self, share: float) -> QueryMap:
        """The map that keeps this share, 0..1, of the way from the identity to this one.

        >>> half = QueryMap.linear(np.diag([3.0, 1.0])).weakened(0.5)
        >>> half.matrix.tolist()
        [[2.0, 0.0], [0.0, 1.0]]
        """
        kept = np.float32(share)
        same = np.eye(len(self.matrix), dtype=np.float32)
        matrix = same + kept * (self.matrix - same)
        return QueryMap(matrix, kept * self.bias, self.down, self.shift, kept * self.up)

    def save(self, folder: Path) -> None:
        """Writes `query_map.safetensors` into a model folder."""
        tensors = {one.name: np.ascontiguousarray(getattr(self, one.name)) for one in fields(self)}
        save_file(tensors, folder / QUERY_MAP_FILE)

    @classmethod
    def load(cls, folder: Path) -> QueryMap:
        """Reads what `save` wrote.

        Raises:
            ModelRefused: the file is missing, holds other tensors, or tensors that do not fit together.
        """
        path = folder / QUERY_MAP_FILE
        try:
            found = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelRefused(f"{path} is no query map: {error}") from error
        names = {one.name for one in fields(cls)}
        if set(found) != names:
            raise ModelRefused(f"{path} must hold the tensors {sorted(names)}, got {sorted(found)}")
        loaded = cls(**found)
        loaded._check(path)
        return loaded

    def _check(self, path: Path) -> None:
        tensors = {one.name: getattr(self, one.name) for one in fields(self)}
        for name, tensor in tensors.items():
            if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
                raise ModelRefused(f"tensor {name!r} of {path} must be finite float32, got {tensor.dtype}")
        dims = [self.matrix.ndim, self.bias.ndim, self.down.ndim, self.shift.ndim, self.up.ndim]
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if dims != [2, 1, 2, 1, 2] or shapes != self._shapes():
            raise ModelRefused(f"the tensors of {path} do not fit together: {shapes}")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """What each tensor must measure beside `matrix` and `shift`."""
        (entering, leaving), hidden = self.matrix.shape, len(self.shift)
        return {
            "matrix": (entering, leaving),
            "bias": (leaving,),
            "down": (entering, hidden),
            "shift": (hidden,),
            "up": (hidden, leaving),
        }


class MappedEncoder:
    """An encoder whose queries are encoded by one model and mapped to where another one puts passages.

    Both are the same model where a map was learnt from labels; a bridge between two models has two.
    """

    def __init__(self, passages: Encoder, queries: Encoder, query_map: QueryMap):
        """Raises ModelRefused when the map does not lead from the one to the other."""
        entering, leaving = query_map.matrix.shape
        if (entering, leaving) != (queries.dimension, passages.dimension):
            raise ModelRefused(
                f"the query map leads from {entering} to {leaving} dimensions, the models have "
                f"{queries.dimension} and {passages.dimension}"
            )
        self._passages = passages
        self._queries = queries
        self._map = query_map

    @property
    def dimension(self) -> int:
        return self._passages.dimension

    @property
    def max_tokens(self) -> int:
        return self._passages.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dim) float32, L2-normalised, mapped."""
        return self._map.apply(self._queries.encode_queries(texts))

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        """Vectors of passages: (n, dim) float32, L2-normalised; `check` is called before each batch."""
        return self._passages.encode_passages(texts, check=check)
