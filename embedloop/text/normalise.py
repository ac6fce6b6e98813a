"""Clean text, and the key under which a query and its near-duplicates fall together."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_APOSTROPHES = frozenset("'’‘ʼ`´")
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_TRAILING_BLANKS = re.compile(r"[^\S\n]+$", re.MULTILINE)


def query_key(text: str) -> str:
    """Name the group of near-duplicates that a query belongs to.

    Case, punctuation, Unicode compatibility forms, repeated blanks, repeated words and word order do not
    matter. Letters, combining marks and digits of every script do; so do decimals (`3.5`) and signs (`C++`).

    Args:
        text: A query as somebody typed it.

    Returns:
        16 hexadecimal digits, the same in every process and release.

    >>> query_key("What is  GOUT?") == query_key("gout: what is")
    True
    >>> query_key("पैंथर्स के अंक?") == query_key("अंक पैंथर्स के")
    True
    >>> query_key("3.5 mg") == query_key("5.3 mg")
    False
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = sorted(set(_words(folded))) or folded.split()
    key = " ".join(words).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(key, digest_size=8).hexdigest()


def text_key(text: str) -> str:
    """Name a text of any length, blanks and case apart; 32 hexadecimal digits.

    >>> text_key("Gout  is painful.") == text_key("gout is\\npainful.")
    True
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def clean_text(text: str) -> str:
    """Bring text to one form: NFC, `\\n` line ends, no control characters, no blanks at line or text ends.

    >>> clean_text("Gou\\x00t \\r\\n is painful. \\n")
    'Gout\\n is painful.'
    """
    lines = _LINE_ENDS.sub("\n", unicodedata.normalize("NFC", text))
    kept = "".join(char for char in lines if char in "\n\t" or _is_text(char))
    return _TRAILING_BLANKS.sub("", kept).strip("\n")


def _is_text(char: str) -> bool:
    return char.isprintable() or (char != "\ufeff" and unicodedata.category(char) not in ("Cc", "Cs"))


def _words(folded: str) -> list[str]:
    kept: list[str] = []
    for position, char in enumerate(folded):
        category = unicodedata.category(char)
        if category[0] in "LMN":
            kept.append(char)
        elif category == "Cf" or char in _APOSTROPHES:
            continue
        else:
            kept.append(char if _belongs_to_word(folded, position) else " ")
    return "".join(kept).split()


def _belongs_to_word(folded: str, position: int) -> bool:
    """Tell the point of `3.5` and the signs of `c++` and `c#` from punctuation."""
    before = folded[position - 1] if position else " "
    after = folded[position + 1] if position + 1 < len(folded) else " "
    if folded[position] in ".,":
        return before.isdigit() and after.isdigit()
    return folded[position] in "+#" and (before.isalnum() or before == folded[position]) and not after.isalnum()
