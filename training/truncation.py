"""Shorter vectors: a model that gives the first numbers of its vectors, normalised again."""

from __future__ import annotations

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from embedloop.errors import TrainingFailed


def check_dimension(model: SentenceTransformer, dimension: int | None) -> None:
    """Raises TrainingFailed where the model's vectors are shorter than `dimension`."""
    whole = model.get_embedding_dimension()
    if dimension is not None and (whole is None or dimension > whole):
        raise TrainingFailed(
            f"training.dimension must be at most the model's {whole} dimensions, got {dimension}"
        )


def cut_to(model: SentenceTransformer, dimension: int | None) -> None:
    """Adds two modules to the model, which keep the first `dimension` numbers of a vector and normalise them.

    The cut is a matrix that any version of sentence-transformers reads, so that everything that opens the saved
    folder gives vectors of this length: torch, ONNX, another training.
    """
    whole = model.get_embedding_dimension()
    if dimension is None or dimension == whole:
        return
    first = Dense(whole, dimension, bias=False, activation_function=torch.nn.Identity())
    with torch.no_grad():
        first.linear.weight.copy_(torch.eye(dimension, whole))
    model.append(first.to(model.device))
    model.append(Normalize())
