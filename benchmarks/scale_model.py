"""A model that costs next to nothing, and texts for it: what is then measured is the pipeline around it."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmarks.plan import SEED
from tests.tiny_model import build_tiny_model

DIMENSION = 384
WORDS = 5000
WORDS_PER_TEXT = 12
WEIGHTS = "model.safetensors"
TABLE = "embeddings.word_embeddings.weight"
# Texts of people have some twenty degrees of freedom; in 384 no graph index finds the nearest ones.
FREEDOM = 24
DESCRIPTION = (
    f"BERT without layers: {WORDS} words with random vectors of a {FREEDOM}-dimensional subspace, mean-pooled "
    "and normalised; registered, exported to ONNX and hashed by the service like every base model"
)


def words() -> list[str]:
    """Words that are one token each."""
    letters = itertools.product(string.ascii_lowercase, repeat=3)
    return ["q" + "".join(one) for one in itertools.islice(letters, WORDS)]


def build(folder: Path) -> Path:
    """A folder that is registered, exported to ONNX and hashed like every other model.

    It is a BERT without layers: a text's vector is the normalised mean of its words' vectors, which are random
    ones of a subspace of `FREEDOM` dimensions: (384,) float32.
    """
    build_tiny_model(folder, dimension=DIMENSION, seed=SEED, words=words(), layers=0)
    weights = load_file(folder / WEIGHTS)
    generator = torch.Generator().manual_seed(SEED)
    size, width = weights[TABLE].shape
    narrow = torch.randn(size, FREEDOM, generator=generator)
    # Far greater than the vectors of positions and token types, which all texts share.
    weights[TABLE] = narrow @ torch.randn(FREEDOM, width, generator=generator)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def documents(count: int) -> Iterator[dict[str, str]]:
    """Documents of one passage each, seeded: more of them begin with the same ones."""
    rng, known = random.Random(SEED), words()
    for number in range(count):
        title, *text = rng.choices(known, k=1 + WORDS_PER_TEXT)
        yield {"id": f"d{number:06}", "title": title, "text": " ".join(text)}
