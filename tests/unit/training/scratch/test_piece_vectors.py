from __future__ import annotations

import numpy as np
import pytest

from embedloop.errors import TrainingFailed
from tests.unit.training.scratch.jargon import jargon
from training.scratch.piece_vectors import FirstVectors, first_vectors
from training.scratch.subwords import subword_tokenizer

MADE = jargon()
TOKENIZER = subword_tokenizer(MADE.reports, 600, 2)
CUT = [one.tokens for one in TOKENIZER.encode_batch(MADE.reports, add_special_tokens=False)]
SIZE = 0.02


def learn(texts: list[list[str]] = CUT, *, dimension: int = 32, seed: int = 1) -> FirstVectors:
    return first_vectors(TOKENIZER, texts, dimension, seed, SIZE)


def mean_of(first: FirstVectors, text: str) -> np.ndarray:
    rows = dict(zip(first.ids, first.rows, strict=True))
    mean = np.mean([rows[one] for one in TOKENIZER.encode(text, add_special_tokens=False).ids], axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def test_words_that_stand_together_have_vectors_that_are_near() -> None:
    first = learn()
    query, own, other = (mean_of(first, text) for text in (MADE.queries[0], *MADE.documents[:2]))
    assert query @ own > query @ other + 0.3


def test_every_piece_of_the_texts_has_a_vector_of_the_size_that_was_asked_for() -> None:
    first = learn()
    assert {TOKENIZER.id_to_token(one) for one in first.ids} == {piece for text in CUT for piece in text}
    assert float(np.sqrt(np.mean(first.rows**2))) == pytest.approx(SIZE, rel=1e-4)


def test_common_direction_is_at_right_angles_to_all_and_longer_than_most() -> None:
    first = learn()
    assert np.abs(first.rows @ first.common).max() < 1e-6
    longer = np.linalg.norm(first.common) > np.linalg.norm(first.rows, axis=1)
    assert longer.mean() == pytest.approx(0.9, abs=0.02)


def test_frequent_piece_weighs_less_than_a_rare_one() -> None:
    texts = [["the", one, other] for one in "abcd" for other in "efgh"]
    tokenizer = subword_tokenizer([" ".join(text) for text in texts], 400, 2)
    first = first_vectors(tokenizer, texts, 16, 1, SIZE)
    lengths = dict(zip(first.ids, np.linalg.norm(first.rows, axis=1), strict=True))
    assert lengths[tokenizer.token_to_id("the")] < min(
        lengths[tokenizer.token_to_id(one)] for one in "abcdefgh"
    )


def test_fewer_texts_than_dimensions_still_fill_the_vectors() -> None:
    first = learn(CUT[:5])
    assert first.rows.shape == (len(first.ids), 32)
    assert np.isfinite(first.rows).all()


def test_seed_decides_the_vectors() -> None:
    first, again, other = (learn(dimension=16, seed=seed).rows for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("texts", [[], [["a", "b"]], [["a"], ["a"]]])
def test_too_few_texts_are_refused(texts: list[list[str]]) -> None:
    with pytest.raises(TrainingFailed, match="two texts and pieces"):
        learn(texts)
