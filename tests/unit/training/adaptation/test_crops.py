"""What the crops of a batch are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

from embedloop.errors import TrainingFailed
from tests.unit.training.conftest import WORDS
from training.adaptation.crops import FEWEST_TOKENS, LONGEST_SHARE, SHORTEST_SHARE, CroppedTwiceLoss
from training.model_files import load_model


@pytest.fixture
def model(tiny_base: Path) -> SentenceTransformer:
    torch.manual_seed(1)
    return load_model(tiny_base)


def rows(features: dict[str, Any]) -> list[list[int]]:
    lengths = features["attention_mask"].sum(dim=1).tolist()
    return [ids[:length] for ids, length in zip(features["input_ids"].tolist(), lengths, strict=True)]


def test_part_is_a_span_of_the_text_between_its_ends(model: SentenceTransformer) -> None:
    features = model.preprocess([" ".join(WORDS[:40]), " ".join(WORDS[:20]), "a"] * 40)
    parts = rows(CroppedTwiceLoss(model)._part(features))
    for part, whole in zip(parts, rows(features), strict=True):
        assert (part[0], part[-1]) == (whole[0], whole[-1])
        words, span = whole[1:-1], part[1:-1]
        first = words.index(span[0])
        assert words[first : first + len(span)] == span
        least = min(len(words), FEWEST_TOKENS)
        assert (
            max(least, SHORTEST_SHARE * len(words)) <= len(span) <= max(least, LONGEST_SHARE * len(words) + 1)
        )


def test_every_word_comes_into_some_part_and_no_two_parts_are_alike(model: SentenceTransformer) -> None:
    features = model.preprocess([" ".join(WORDS[:20])] * 200)
    parts = [tuple(part[1:-1]) for part in rows(CroppedTwiceLoss(model)._part(features))]
    assert {token for part in parts for token in part} == set(rows(features)[0][1:-1])
    assert len(set(parts)) > 20


def test_text_of_few_words_is_its_own_part(model: SentenceTransformer) -> None:
    features = model.preprocess(["of the body", ""])
    assert rows(CroppedTwiceLoss(model)._part(features)) == rows(features)


def test_parts_of_one_text_are_nearer_than_those_of_others(model: SentenceTransformer) -> None:
    texts = [" ".join([word] * 12) for word in WORDS[:16]]
    loss = CroppedTwiceLoss(model)
    apart = loss([dict(model.preprocess(texts))], torch.empty(0)).item()
    alike = loss([dict(model.preprocess(texts[:1] * 16))], torch.empty(0)).item()
    assert apart < alike


def test_tokenizer_without_padding_is_refused(model: SentenceTransformer) -> None:
    model.tokenizer.pad_token = None
    with pytest.raises(TrainingFailed, match="padding"):
        CroppedTwiceLoss(model)
