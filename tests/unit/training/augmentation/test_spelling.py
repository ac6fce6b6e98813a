from __future__ import annotations

import random

import pytest

from training.augmentation.spelling import NEAR, Misspelling, misspelt


def test_one_word_has_one_error_and_the_others_none() -> None:
    for seed in range(60):
        (variant,) = Misspelling().variants("painful toe", random.Random(seed))
        word, rest = variant.split(" ")
        assert rest == "toe"
        assert word != "painful"
        assert word[0] == "p"
        assert 6 <= len(word) <= 8


@pytest.mark.parametrize("query", ["toe", "ECG 120/80", "[EMAIL]", "रक्तचाप", ""])
def test_short_words_capitals_numbers_and_other_scripts_stay(query: str) -> None:
    assert Misspelling().variants(query, random.Random(1)) == []


def test_wrong_keys_are_beside_the_right_ones() -> None:
    assert set(NEAR["s"]) == set("adqwezxc")
    assert all(one in NEAR[other] for one, others in NEAR.items() for other in others)


def test_every_kind_of_error_is_made() -> None:
    made = {misspelt("wrong", random.Random(seed)) for seed in range(200)}
    assert {"worng", "wrng", "wrrong"} <= made
