"""Repair of Unicode and blanks."""

from __future__ import annotations

import re

from embedloop.errors import MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.normalise import clean_text

ROUNDS = 4
_ODD_BLANKS = re.compile(r"[^\S\n\t ]")
_EMPTY_LINES = re.compile(r"\n{3,}")
_INNER_BLANKS = re.compile(r"(?<=\S)[ \t]{2,}")


def repaired(text: str, removals: Removals, *, collapse: bool) -> str:
    """Undo mojibake, bring text to one form (`clean_text`), and reduce blanks.

    Args:
        text: Any text.
        removals: Where to count what was changed.
        collapse: Whether runs of blanks within a line mean nothing, as in HTML, or may be a table or code.

    Raises:
        MissingExtra: ftfy is not installed.
    """
    try:
        from ftfy import TextFixerConfig, fix_text
    except ImportError as error:
        raise MissingExtra("repairing Unicode needs ftfy: pip install 'embedloop[ingest]'") from error
    config = TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        explain=False,
    )
    fixed = text
    # One repair can uncover another; the bound is for texts made to never end.
    for _ in range(ROUNDS):
        before, fixed = fixed, clean_text(_ODD_BLANKS.sub(" ", fix_text(clean_text(fixed), config)))
        if fixed == before:
            break
    if fixed != clean_text(_ODD_BLANKS.sub(" ", text)):
        removals.note("broken Unicode", _first_difference(clean_text(text), fixed))
    if collapse:
        fixed = _INNER_BLANKS.sub(" ", fixed)
    return _EMPTY_LINES.sub("\n\n", fixed).strip("\n")


def _first_difference(before: str, after: str) -> str:
    start = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    return before[start : start + 40]
