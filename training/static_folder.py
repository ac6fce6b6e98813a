"""A static model as a sentence-transformers pipeline: the mean of the tokens' rows, a projection, length 1."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

Matrix = NDArray[np.float32]

# Of a text's length: it decides the vector only of a text without any known word.
FALLBACK_SHARE = 1e-3


def static_pipeline(
    tokenizer: Tokenizer, rows: Matrix, projection: Matrix | None = None, bias: Matrix | None = None
) -> SentenceTransformer:
    """Puts a static model together.

    Args:
        tokenizer: Its ids are the rows.
        rows: (tokens, dim), weighted already.
        projection: (dim, dim), symmetric; None changes nothing.
        bias: (dim,), what a text without any token gets; None takes a little of the mean row's length along
            the first dimension, so that such a text has a vector as well.
    """
    dimension = rows.shape[1]
    if bias is None:
        bias = np.zeros(dimension, dtype=np.float32)
        bias[0] = FALLBACK_SHARE * float(np.linalg.norm(rows, axis=1).mean())
    dense = Dense(
        dimension,
        dimension,
        activation_function=torch.nn.Identity(),
        init_weight=torch.from_numpy(np.eye(dimension, dtype=np.float32) if projection is None else projection),
        init_bias=torch.from_numpy(bias),
    )
    static = StaticEmbedding(tokenizer, torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)))
    return SentenceTransformer(modules=[static, dense, Normalize()], device="cpu")
