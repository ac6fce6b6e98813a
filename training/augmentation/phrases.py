"""Words and phrases that may stand for each other, and where a text has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# Letters of every script with their marks: `\w` parts Devanagari words at their vowel signs.
_WORD = re.compile(r"[^\s.,;:!?()\[\]{}\"“”«»।/]+")
_LONGEST_WORDS = 6


@dataclass(frozen=True, slots=True)
class Occurrence:
    """`text[start:end]` may be replaced by each of the alternatives."""

    start: int
    end: int
    alternatives: Sequence[str]

    def replaced(self, text: str, alternative: str) -> str:
        return text[: self.start] + alternative + text[self.end :]


class Phrases:
    """Phrases with their alternatives, found whatever their case; the longest that fits counts.

    Args:
        alternatives: Phrase -> what may stand in its place.
    """

    def __init__(self, alternatives: Mapping[str, Iterable[str]]) -> None:
        self._known: dict[str, list[str]] = {}
        for phrase, others in alternatives.items():
            key = _key(phrase)
            kept = self._known.setdefault(key, [])
            kept += [one for one in others if _key(one) != key and one not in kept]

    def __len__(self) -> int:
        return len(self._known)

    def in_text(self, text: str) -> list[Occurrence]:
        """Where the text has phrases, from left to right and without overlaps.

        >>> [(one.start, one.end) for one in Phrases({"heart attack": ["MI"]}).in_text("a Heart attack, now")]
        [(2, 14)]
        """
        words = list(_WORD.finditer(text))
        found: list[Occurrence] = []
        position = 0
        while position < len(words):
            for size in range(min(_LONGEST_WORDS, len(words) - position), 0, -1):
                start, end = words[position].start(), words[position + size - 1].end()
                others = self._known.get(_key(text[start:end]))
                if others:
                    found.append(Occurrence(start, end, others))
                    position += size
                    break
            else:
                position += 1
        return found


def words_of(text: str) -> list[re.Match[str]]:
    """The words of a text with their places, in any script."""
    return list(_WORD.finditer(text))


def _key(phrase: str) -> str:
    return " ".join(phrase.casefold().split())
