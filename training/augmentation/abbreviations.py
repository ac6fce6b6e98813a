"""Abbreviations and what they stand for: from documents that explain them, and from a glossary.

"blood pressure (BP)" is read by the algorithm of Schwartz and Hearst 2003, "A simple algorithm for identifying
abbreviation definitions in biomedical text".
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from training.augmentation.phrases import Phrases, words_of
from training.unlabelled.glossary import Entry

_PARENTHESIS = re.compile(r"\(([^()\n]{2,60})\)")
_SHORT = re.compile(r"[^\W_][\w./&-]{1,9}")
# Of an abbreviation that documents explain differently, the commonest meaning must be this common.
LEAST_SHARE = 0.8
# In small letters these are words.
_WORDS = (
    "a aid all am an and are as at be by can do for go has he her his if in is it its may me my no of on or "
    "our out she so the they to up us was we who why you"
)


def definitions_in(text: str) -> Iterator[tuple[str, str]]:
    """Short and long forms that a text explains in parentheses, either way round.

    >>> list(definitions_in("High blood pressure (BP) is common. ECG (electrocardiogram) helps."))
    [('BP', 'blood pressure'), ('ECG', 'electrocardiogram')]
    """
    for match in _PARENTHESIS.finditer(text):
        inside = match[1].strip()
        before = text[max(0, match.start() - 200) : match.start()]
        if _is_short(inside):
            long = long_form(inside, _last_words(before, _window(inside)))
            if long is not None:
                yield inside, long
        else:
            short = _last_words(before, 1)
            if _is_short(short) and long_form(short, inside) == inside:
                yield short, inside


def long_form(short: str, candidate: str) -> str | None:
    """The shortest end of the candidate whose letters spell the abbreviation, the first one at a word's start.

    >>> long_form("BP", "with high blood pressure"), long_form("BP", "British oil")
    ('blood pressure', None)
    """
    place = len(candidate)
    for index in range(len(short) - 1, -1, -1):
        letter = short[index].lower()
        if not letter.isalnum():
            continue
        place -= 1
        while place >= 0 and (
            candidate[place].lower() != letter or (index == 0 and place > 0 and candidate[place - 1].isalnum())
        ):
            place -= 1
        if place < 0:
            return None
    found = candidate[place:].strip()
    return found if len(found) > len(short) and short.lower() not in found.lower().split() else None


class AbbreviationTable:
    """Abbreviations with the one meaning that they have here.

    Args:
        texts: Documents; how often each explains an abbreviation decides between its meanings.
        glossary: Terms whose synonyms are abbreviations of them; these win.
    """

    def __init__(self, texts: Iterable[str], glossary: Iterable[Entry] = ()) -> None:
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            for short, long in definitions_in(text):
                counted[short][" ".join(long.lower().split())] += 1
        self.meanings: dict[str, str] = {}
        for short, longs in counted.items():
            long, count = longs.most_common(1)[0]
            if count >= LEAST_SHARE * longs.total():
                self.meanings[short] = long
        for entry in glossary:
            for synonym in entry.synonyms:
                if _is_short(synonym) and long_form(synonym, entry.term) is not None:
                    self.meanings[synonym] = entry.term


class Abbreviations:
    """Writes abbreviations out, and long forms short.

    Args:
        meanings: Abbreviation -> what it stands for.
    """

    def __init__(self, meanings: Mapping[str, str]) -> None:
        self._long = dict(meanings)
        for short, long in meanings.items():
            # People type small letters; those of "US" are another word.
            if short.lower() not in _WORDS.split():
                self._long.setdefault(short.lower(), long)
        by_meaning: dict[str, list[str]] = defaultdict(list)
        for short, long in meanings.items():
            by_meaning[long].append(short)
        self._short = Phrases(by_meaning)

    def variants(self, query: str, generator: random.Random) -> list[str]:
        """The query with one abbreviation written out, or with one long form short."""
        found = [
            query[: word.start()] + self._long[word[0]] + query[word.end() :]
            for word in words_of(query)
            if word[0] in self._long
        ]
        for occurrence in self._short.in_text(query):
            found += [occurrence.replaced(query, short) for short in occurrence.alternatives]
        generator.shuffle(found)
        return found


def _is_short(text: str) -> bool:
    return _SHORT.fullmatch(text) is not None and any(map(str.isalpha, text)) and not text.islower()


def _window(short: str) -> int:
    """How many words before the parenthesis may belong to the long form (Schwartz and Hearst 2003)."""
    return min(len(short) + 5, 2 * len(short))


def _last_words(text: str, count: int) -> str:
    return " ".join(text.split()[-count:])
