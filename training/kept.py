"""What a smaller model keeps of a larger one, and what it saves: told in the record of its step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sentence_transformers import SentenceTransformer

from embedloop.records.labels import Split
from training.finetune import FinetuneConfig
from training.pairs import read_training_set
from training.validation import DevSet, encode


def kept(
    config: FinetuneConfig, teacher: SentenceTransformer, student: SentenceTransformer, texts: Sequence[str]
) -> dict[str, Any]:
    """Both models side by side, the teacher first.

    Args:
        config: Of the course: its training set and prompts.
        teacher: The larger one.
        student: The smaller one.
        texts: Passages that both encode for the clock.

    Returns:
        `weights`, `seconds_of_sample` (in torch, for the same texts) and `dev` (nDCG@10; None without a dev
        split), each a pair.
    """
    models = (teacher, student)
    pairs = read_training_set(config.training_set)
    train, dev = ([one for one in pairs if one.split is split] for split in (Split.TRAIN, Split.DEV))
    questions = DevSet(dev, train, config.query_prompt, config.passage_prompt) if dev else None
    return {
        "weights": [sum(one.numel() for one in model.parameters()) for model in models],
        "seconds_of_sample": [_seconds(model, texts) for model in models],
        "dev": None if questions is None else [round(questions.measure(model)[0], 4) for model in models],
    }


def _seconds(model: SentenceTransformer, texts: Sequence[str]) -> float:
    begun = time.perf_counter()
    encode(model, texts)
    return round(time.perf_counter() - begun, 3)
