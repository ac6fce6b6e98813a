"""A model that costs next to nothing, and texts for it: what is then measured is the pipeline around it."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file, save_file

from benchmarks.plan import SEED
from tests.tiny_model import build_tiny_model

DIMENSION = 384
WORDS = 5000
WORDS_PER_TEXT = 12
WEIGHTS = "model.safetensors"
TABLE = "embeddings.word_embeddings.weight"
# Far greater than the vectors of positions and token types, which all texts share.
WEIGHT_OF_WORDS = 20.0
# A text has words of one topic: without topics all are equally far, and no index finds the nearest.
TOPICS = 200
DESCRIPTION = (
    f"BERT without layers: {WORDS} words with random vectors, mean-pooled and normalised; registered, exported "
    "to ONNX and hashed by the service like every base model. "
    f"A text has {WORDS_PER_TEXT} words of one of {TOPICS} topics"
)


def words() -> list[str]:
    """Words that are one token each."""
    letters = itertools.product(string.ascii_lowercase, repeat=3)
    return ["q" + "".join(one) for one in itertools.islice(letters, WORDS)]


def build(folder: Path) -> Path:
    """A folder that is registered, exported to ONNX and hashed like every other model.

    It is a BERT without layers: a text's vector is the normalised mean of random vectors of its words, (384,)
    float32.
    """
    build_tiny_model(folder, dimension=DIMENSION, seed=SEED, words=words(), layers=0)
    weights = load_file(folder / WEIGHTS)
    weights[TABLE] *= WEIGHT_OF_WORDS
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def documents(count: int) -> Iterator[dict[str, str]]:
    """Documents of one passage each, seeded: more of them begin with the same ones."""
    rng, known = random.Random(SEED), words()
    for number in range(count):
        topic = known[rng.randrange(TOPICS) :: TOPICS]
        title, *text = rng.choices(topic, k=1 + WORDS_PER_TEXT)
        yield {"id": f"d{number:06}", "title": title, "text": " ".join(text)}
