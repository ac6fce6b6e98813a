"""Words of any script."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable


def _ranges(characters: Iterable[int]) -> str:
    """Characters as the inside of a character class."""
    found: list[list[int]] = []
    for one in characters:
        if found and found[-1][1] == one - 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in found)


# Vowel signs of Indic scripts are marks and no `\w`, which would cut their words in pieces.
_MARKS = _ranges(one for one in range(sys.maxunicode + 1) if unicodedata.category(chr(one)) in ("Mn", "Mc"))
_WORD = re.compile(rf"[\w{_MARKS}]+")
# Zero-width joiners change how a word is drawn, not which word it is.
_JOINERS = re.compile("[\u200c\u200d]")


def words(text: str) -> list[str]:
    """Runs of letters, digits, underscores and combining marks, in their order.

    >>> words("BP kya hai? रक्तचाप में।")
    ['BP', 'kya', 'hai', 'रक्तचाप', 'में']
    """
    return _WORD.findall(_JOINERS.sub("", text))
