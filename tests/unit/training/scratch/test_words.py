from __future__ import annotations

import numpy as np
import pytest

from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.recipe.scratch import WordVectors
from tests.unit.training.scratch.jargon import jargon
from training.scratch.words import Lexicon, learn_words

TEXTS = [report.split() for report in jargon().reports]


def learn(texts: list[list[str]] = TEXTS, **settings: object) -> Lexicon:
    recipe = WordVectors.model_validate({"dimension": 16, "epochs": 2, **settings})
    return learn_words(texts, recipe, on_progress=lambda share: None, should_stop=lambda: False)


@pytest.mark.parametrize("method", ["lsa", "word2vec", "fasttext"])
def test_same_seed_gives_the_same_vectors(method: str) -> None:
    first, again = learn(method=method), learn(method=method)
    assert first.counts == again.counts
    assert np.array_equal(first.words, again.words)
    assert np.array_equal(first.piece_vectors, again.piece_vectors)


def test_another_seed_gives_other_vectors() -> None:
    assert not np.array_equal(learn(method="word2vec").words, learn(method="word2vec", seed=1).words)


def test_rare_words_are_left_out() -> None:
    assert list(learn([["gout", "gout", "rare"], ["gout", "pain"], ["pain"]], method="lsa").counts) == [
        "gout",
        "pain",
    ]


@pytest.mark.parametrize("method", ["lsa", "word2vec", "fasttext"])
def test_texts_without_a_frequent_word_are_refused(method: str) -> None:
    with pytest.raises(TrainingFailed, match="min_count"):
        learn([["once"], ["only"]], method=method)


def test_words_that_stand_together_become_a_phrase() -> None:
    texts = [[f"v{number % 7}", "blood", "pressure", f"w{number % 5}"] for number in range(70)]
    counts = learn(texts, method="lsa", phrases=True).counts
    assert counts["blood pressure"] == 70
    assert not [word for word in counts if " " in word and word != "blood pressure"]


def test_fasttext_has_vectors_of_pieces_and_the_others_have_none() -> None:
    pieces = learn(method="fasttext").pieces
    assert any(piece.startswith("##") for piece in pieces)
    assert learn(method="word2vec").pieces == learn(method="lsa").pieces == ()


def test_stop_ends_it_between_two_texts() -> None:
    asked = iter([False] * (len(TEXTS) + 10) + [True] * 10_000)
    with pytest.raises(JobCancelled):
        learn_words(
            TEXTS,
            WordVectors(method="word2vec", dimension=16),
            on_progress=lambda share: None,
            should_stop=lambda: next(asked),
        )


def test_progress_is_told_after_every_epoch() -> None:
    told: list[float] = []
    recipe = WordVectors(method="word2vec", dimension=16, epochs=4)
    learn_words(TEXTS, recipe, on_progress=told.append, should_stop=lambda: False)
    assert told == [0.25, 0.5, 0.75, 1.0]
