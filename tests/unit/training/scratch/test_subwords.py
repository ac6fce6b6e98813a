from __future__ import annotations

import subprocess
import sys

import pytest
from tokenizers import Tokenizer

from training.scratch.subwords import PADDING, SPECIAL, subword_tokenizer

TEXTS = ["रक्तचाप ज़्यादा है।", "BP kya hai, doctor?", "valve XK-4711/b leaks", "valve XK-4712 leaks"] * 5
FEWEST = 256 + len(SPECIAL)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return subword_tokenizer(TEXTS, 600, 2)


def shown(tokenizer: Tokenizer, text: str) -> list[str]:
    """The text's pieces as they are read, without the ends."""
    return [text[start:end] for start, end in tokenizer.encode(text).offsets[1:-1]]


@pytest.mark.parametrize("text", ["☃ ქართული \x00 ﷽", "ज्ञ", "🫀", "never met"])
def test_no_letter_is_unknown(tokenizer: Tokenizer, text: str) -> None:
    assert "[UNK]" not in tokenizer.encode(text).tokens


def test_word_of_the_corpus_is_one_piece_with_its_vowel_signs(tokenizer: Tokenizer) -> None:
    assert shown(tokenizer, "रक्तचाप ज़्यादा") == ["रक्तचाप", "ज़्यादा"]


def test_signs_are_pieces_of_their_own_and_blanks_none(tokenizer: Tokenizer) -> None:
    assert shown(tokenizer, "VALVE xk-4711,  है।") == ["VALVE", "xk", "-", "4711", ",", "है", "।"]


def test_text_stands_between_its_ends(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("").tokens == ["[CLS]", "[SEP]"]
    assert tokenizer.token_to_id(PADDING) == 0


def test_vocabulary_is_no_larger_than_the_corpus_or_the_limit() -> None:
    assert subword_tokenizer(["abc def"] * 3, 5000, 2).get_vocab_size() == FEWEST + 4
    assert subword_tokenizer(TEXTS, 300, 2).get_vocab_size() == 300


def test_pair_that_is_met_too_seldom_is_no_piece() -> None:
    assert subword_tokenizer(["abc def"] * 3, 5000, 4).get_vocab_size() == FEWEST


def test_another_process_learns_the_same() -> None:
    code = (
        "from tests.unit.training.scratch.test_subwords import TEXTS\n"
        "from training.scratch.subwords import subword_tokenizer\n"
        "print(subword_tokenizer(TEXTS, 600, 2).to_str())"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
        ).stdout
        for _ in range(2)
    ]
    assert told[0] == told[1] != ""
