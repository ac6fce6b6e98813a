from __future__ import annotations

import pytest

from embedloop.errors import InvalidInput
from training.lexical import Bm25

TEXTS = {"b": "red eye in the morning", "a": "bleeding from the nose", "c": "the red rash", "d": "नाक से खून"}


def test_documents_that_share_rare_words_come_first() -> None:
    (found,) = Bm25(TEXTS).search(["red EYE"], 5)
    assert [identity for identity, _ in found] == ["b", "c"]
    assert found[0][1] > found[1][1] > 0


def test_words_of_any_script_match() -> None:
    (found,) = Bm25(TEXTS).search(["खून"], 5)
    assert [identity for identity, _ in found] == ["d"]


def test_queries_without_a_known_word_find_nothing() -> None:
    assert Bm25(TEXTS).search(["xylophone", ""], 5) == [[], []]
    assert Bm25(TEXTS).search([], 5) == []


def test_limit_is_kept_and_may_exceed_the_documents() -> None:
    index = Bm25(TEXTS)
    assert [len(found) for found in index.search(["the red"], 1)] == [1]
    assert [len(found) for found in index.search(["the red"], 100)] == [3]


def test_nothing_cannot_be_indexed() -> None:
    with pytest.raises(InvalidInput, match="at least one text"):
        Bm25({})
