"""Hindi as people type it without its keyboard: Devanagari in Latin letters, and Latin letters back."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from embedloop.errors import MissingExtra
from training.augmentation.phrases import words_of

_DEVANAGARI = re.compile(r"[\u0900-\u097f]")
# A consonant, with or without its dot, that carries the short a which is written but not spoken.
_ENDS_IN_CONSONANT = re.compile(r"[\u0915-\u0939\u0958-\u095f]\u093c?$")
_AS_TYPED = (("RR", "r"), ("R", "ri"), ("M", "n"), ("H", "h"))


class Transliteration:
    """Writes a query in the other script.

    Whatever is in Devanagari is written in Latin letters. The other way only words are written that the corpus
    has in Devanagari: in Latin letters an English word looks like a Hindi one.

    Args:
        texts: Documents; their Devanagari words are what Latin letters can be read as.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._words: dict[str, str] = {}
        for text in texts:
            if _DEVANAGARI.search(text):
                for match in words_of(text):
                    if _DEVANAGARI.search(match[0]):
                        self._words.setdefault(in_latin(match[0]), match[0])

    def variants(self, query: str, generator: random.Random) -> list[str]:
        """The query in the other script; none where nothing can be written in it.

        Raises:
            MissingExtra: indic-transliteration is not installed.
        """
        if _DEVANAGARI.search(query):
            return [_mapped(query, lambda word: in_latin(word) if _DEVANAGARI.search(word) else word)]
        found = _mapped(query, lambda word: self._words.get(word.lower(), word))
        return [found] if found != query else []


def in_latin(word: str) -> str:
    """A Devanagari word as it is typed in Latin letters, without marks and silent vowels.

    >>> in_latin("बुखार"), in_latin("पेट"), in_latin("में")
    ('bukhar', 'pet', 'men')

    Raises:
        MissingExtra: indic-transliteration is not installed.
    """
    latin = str(_scheme().transliterate(word, "devanagari", "optitrans"))
    for written, typed in _AS_TYPED:
        latin = latin.replace(written, typed)
    latin = latin.lower()
    silent = _ENDS_IN_CONSONANT.search(word) is not None and len(latin) > 2 and latin.endswith("a")
    return latin[:-1] if silent else latin


def _mapped(text: str, change: Any) -> str:
    pieces, done = [], 0
    for match in words_of(text):
        pieces += [text[done : match.start()], change(match[0])]
        done = match.end()
    return "".join(pieces) + text[done:]


@cache
def _scheme() -> Any:
    try:
        from indic_transliteration import sanscript
    except ImportError as error:
        message = "transliteration needs indic-transliteration: pip install 'embedloop[indic]'"
        raise MissingExtra(message) from error
    return sanscript
