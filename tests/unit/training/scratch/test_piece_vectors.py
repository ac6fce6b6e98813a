from __future__ import annotations

import numpy as np
import pytest

from embedloop.errors import TrainingFailed
from tests.unit.training.scratch.jargon import jargon
from training.scratch.piece_vectors import latent_pieces
from training.scratch.subwords import subword_tokenizer

MADE = jargon()
TOKENIZER = subword_tokenizer(MADE.reports, 600, 2)
CUT = [one.tokens for one in TOKENIZER.encode_batch(MADE.reports, add_special_tokens=False)]


def test_words_that_stand_together_have_vectors_that_are_near() -> None:
    ids, vectors = latent_pieces(TOKENIZER, CUT, 32, seed=1)
    rows = dict(zip(ids, vectors, strict=True))
    document, query = (
        np.mean([rows[one] for one in TOKENIZER.encode(text, add_special_tokens=False).ids], axis=0)
        for text in (MADE.documents[0], MADE.queries[0])
    )
    other = np.mean(
        [rows[one] for one in TOKENIZER.encode(MADE.documents[1], add_special_tokens=False).ids], axis=0
    )
    assert query @ document > query @ other + 0.1


def test_every_piece_of_the_texts_has_a_vector_of_length_one() -> None:
    ids, vectors = latent_pieces(TOKENIZER, CUT, 32, seed=1)
    assert {TOKENIZER.id_to_token(one) for one in ids} == {piece for text in CUT for piece in text}
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_fewer_texts_than_dimensions_still_fill_the_vectors() -> None:
    ids, vectors = latent_pieces(TOKENIZER, CUT[:5], 32, seed=1)
    assert vectors.shape == (len(ids), 32)
    assert np.isfinite(vectors).all()


def test_seed_decides_the_vectors() -> None:
    first, again, other = (latent_pieces(TOKENIZER, CUT, 16, seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("texts", [[], [["a", "b"]], [["a"], ["a"]]])
def test_too_few_texts_are_refused(texts: list[list[str]]) -> None:
    with pytest.raises(TrainingFailed, match="two texts and pieces"):
        latent_pieces(TOKENIZER, texts, 16, 1)
