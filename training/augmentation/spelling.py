"""Typing errors: keys beside the right one, letters swapped, left out or doubled (Belinkov and Bisk 2018)."""

from __future__ import annotations

import random

from training.augmentation.phrases import words_of

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_FEWEST_LETTERS = 4


def _neighbours() -> dict[str, str]:
    near: dict[str, str] = {}
    for number, row in enumerate(_ROWS):
        for column, key in enumerate(row):
            around = [(number, column - 1), (number, column + 1)]
            around += [(number + step, column + shift) for step in (-1, 1) for shift in (-1, 0, 1)]
            near[key] = "".join(
                _ROWS[r][c] for r, c in around if 0 <= r < len(_ROWS) and 0 <= c < len(_ROWS[r])
            )
    return near


NEAR = _neighbours()


class Misspelling:
    """One typing error in one word of at least four Latin letters; capitals such as `ECG` stay."""

    def variants(self, query: str, generator: random.Random) -> list[str]:
        """The query with one error; none where no word is long enough."""
        words = [one for one in words_of(query) if _can_err(one[0])]
        if not words:
            return []
        word = generator.choice(words)
        return [query[: word.start()] + misspelt(word[0], generator) + query[word.end() :]]


def misspelt(word: str, generator: random.Random) -> str:
    """A word of at least four Latin letters with one error behind its first letter."""
    place = generator.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    match generator.randrange(4):
        case 0 if letter != after[0]:
            return before + after[0] + letter + after[1:]
        case 1:
            return before + after
        case 2:
            return before + letter + letter + after
    wrong = generator.choice(NEAR[letter.lower()])
    return before + (wrong.upper() if letter.isupper() else wrong) + after


def _can_err(word: str) -> bool:
    return len(word) >= _FEWEST_LETTERS and word.isascii() and word.isalpha() and not word.isupper()
