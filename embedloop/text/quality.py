"""Documents that are not worth keeping."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from embedloop.text.cleaned import Rejection
from embedloop.text.words import words as words_of

DEFAULT_MIN_WORDS = 3
MAX_BROKEN_SHARE = 0.05
MAX_CONTROL_SHARE = 0.02
MAX_CHARACTER_SHARE = 0.5
MIN_DISTINCT_PAIRS = 0.1
REPETITION_FROM_WORDS = 40
SHORT_WORDS = 40

_MAGIC = ("%PDF-", "PK\x03\x04", "\x89PNG", "GIF8", "\x7fELF", "{\\rtf", "\xff\xd8\xff", "\xd0\xcf\x11\xe0")
_PLACEHOLDER = re.compile(
    r"(?:todo|tbd|tba|fixme|n/?a|lorem ipsum\b.*|loading|please wait|untitled|test"
    r"|coming soon|under construction|no content"
    r"|placeholder|insert text here)\W*",
    re.IGNORECASE,
)
_ERROR_PAGE = re.compile(
    r"\b(?:(?:page|file|document) (?:you requested |you are looking for )?(?:was "
    r"|could )?not (?:be )?found|error (?:40[0-9]|50[0-9])"
    r"|(?:40[034]|50[0234]) (?:error|not found|forbidden|bad request"
    r"|internal server error|bad gateway|service unavailable)"
    r"|access (?:is )?denied|internal server error|service unavailable|session (?:has )?expired)\b",
    re.IGNORECASE,
)


def rejection_of_source(raw: str) -> Rejection | None:
    """Tell files that are no text: by their first bytes, or by control characters.

    >>> rejection_of_source("%PDF-1.4 stream").code
    'binary'
    """
    if raw.lstrip().startswith(_MAGIC):
        return Rejection("binary", f"the file begins like a binary one: {raw.lstrip()[:8]!r}")
    control = sum(char < " " and char not in "\n\r\t\f\v" for char in raw)
    if control > MAX_CONTROL_SHARE * len(raw):
        return Rejection("binary", f"{control} of {len(raw)} characters are control characters")
    return None


def rejection_of_text(title: str, text: str, *, min_words: int = DEFAULT_MIN_WORDS) -> Rejection | None:
    """Tell what no search should find: nothing, filler, error pages, garbled or repeated text.

    Args:
        title: As cleaned; it counts where the text is short.
        text: As cleaned.
        min_words: Fewer in title and text together are too few.

    >>> rejection_of_text("", "TODO").code
    'placeholder'
    >>> rejection_of_text("Gout", "Gout is a painful arthritis.") is None
    True
    """
    if not any(map(str.isalnum, title + text)):
        return Rejection("empty", "there is no letter and no digit")
    whole = f"{title}\n{text}".strip()
    if _PLACEHOLDER.fullmatch(text.strip() or title.strip()):
        return Rejection("placeholder", f"the text is a placeholder: {whole[:40]!r}")
    words = words_of(whole.lower())
    if len(words) <= SHORT_WORDS and (found := _ERROR_PAGE.search(whole)):
        return Rejection("error page", f"a page of {len(words)} words that says {found[0]!r}")
    if len(words) < min_words:
        return Rejection("too short", f"{len(words)} words, at least {min_words} are needed")
    return _garbled(whole) or _repetitive(whole, words)


def _garbled(whole: str) -> Rejection | None:
    seen = [char for char in whole if not char.isspace()]
    broken = seen.count("\ufffd")
    if broken > MAX_BROKEN_SHARE * len(seen):
        return Rejection("garbled", f"{broken} of {len(seen)} characters could not be decoded")
    return None


def _repetitive(whole: str, words: list[str]) -> Rejection | None:
    """Repeated characters and word pairs, after the rules of Gopher (Rae et al. 2021, table A1)."""
    letters = Counter(char for char in whole if not char.isspace())
    char, count = letters.most_common(1)[0]
    if letters.total() >= 2 * REPETITION_FROM_WORDS and count > MAX_CHARACTER_SHARE * letters.total():
        return Rejection("repetitive", f"{count} of {letters.total()} characters are {char!r}")
    pairs = len(set(pairwise(words)))
    if len(words) >= REPETITION_FROM_WORDS and pairs < MIN_DISTINCT_PAIRS * len(words):
        return Rejection("repetitive", f"{len(words)} words hold only {pairs} different pairs of words")
    return None
