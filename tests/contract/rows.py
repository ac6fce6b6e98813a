"""Passages and vectors that the tests of the Milvus adapter store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedloop.index_rows import passage_id
from embedloop.policy import IndexSettings
from embedloop.records.documents import Passage

DIMENSION = 8
SETTINGS = IndexSettings(ef_search=64)


def passage(
    document_id: str, *, rev: int = 1, ordinal: int = 0, text: str = "text", **metadata: Any
) -> Passage:
    key = passage_id(document_id, rev, ordinal)
    return Passage(key, document_id, rev, ordinal, f"title of {document_id}", text, metadata)


def unit_vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
