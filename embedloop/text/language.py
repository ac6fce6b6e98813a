"""Which language a text is in."""

from __future__ import annotations

from functools import cache
from typing import Any

from embedloop.errors import MissingExtra

MIN_LETTERS = 20
CHARS_READ = 4_000


def language_of(text: str) -> str | None:
    """Name the language of a text, by its first 4,000 characters (langid, Lui and Baldwin 2012).

    Args:
        text: Any text; words of another script or language in it do little.

    Returns:
        ISO 639-1 code; None for fewer than 20 letters, which tell nothing.

    Raises:
        MissingExtra: py3langid is not installed.
    """
    start = text[:CHARS_READ]
    if sum(map(str.isalpha, start)) < MIN_LETTERS:
        return None
    code, _ = _identifier().classify(start)
    return str(code)


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MissingExtra("telling languages needs py3langid: pip install 'embedloop[ingest]'") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE)
