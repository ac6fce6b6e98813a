from __future__ import annotations

import pytest

from training.scratch.tokenizer import UNKNOWN, WordSplitter, piece_counts, static_tokenizer

VOCABULARY = {UNKNOWN: 0, "रक्तचाप": 1, "blood": 2, "pressure": 3, "go": 4, "##ut": 5, "g": 6, "##t": 7}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("क्या में लिखा है?", ["क्या", "में", "लिखा", "है"]),
        ("क्\u200dया", ["क्या"]),
        ("BP kya hai, doctor?", ["bp", "kya", "hai", "doctor"]),
        ("血圧 high", ["血", "圧", "high"]),
        ("Café (№ 5)", ["café", "no", "5"]),
        ("... !!! ☃", []),
    ],
)
def test_words_keep_their_vowel_signs_and_accents(text: str, words: list[str]) -> None:
    assert WordSplitter().words(text) == words


def test_unknown_word_is_read_by_its_longest_pieces() -> None:
    tokenizer = static_tokenizer(VOCABULARY)
    assert tokenizer.encode("Gout, gt!").tokens == ["go", "##ut", "g", "##t"]
    assert tokenizer.encode("xyz").tokens == [UNKNOWN]


def test_phrase_is_one_token_and_its_words_alone_are_not() -> None:
    tokenizer = static_tokenizer(VOCABULARY, ["blood pressure"])
    assert tokenizer.encode("High Blood Pressure").tokens[-1] == "blood pressure"
    assert tokenizer.encode("blood pressured").tokens == ["blood", UNKNOWN]
    assert tokenizer.token_to_id("blood pressure") == len(VOCABULARY)


def test_text_of_signs_alone_has_no_token() -> None:
    assert static_tokenizer(VOCABULARY).encode("?! ...").ids == []


def test_pieces_of_one_word_alone_are_left_out_but_every_character_is_kept() -> None:
    counts = piece_counts({"abc": 5, "abd": 1}, longest=3, least_words=2)
    assert list(counts) == ["a", "ab", "##b", "##c", "##d"]
    assert counts["ab"] == 6
