"""From raw text to a clean document: one entry for all content types."""

from __future__ import annotations

from collections.abc import Callable, Collection

from embedloop.text.cleaned import Cleaned, ContentType, Rejection, Removals
from embedloop.text.html import text_from_html
from embedloop.text.language import language_of
from embedloop.text.mail import text_from_mail
from embedloop.text.markdown import text_from_markdown
from embedloop.text.quality import DEFAULT_MIN_WORDS, rejection_of_source, rejection_of_text
from embedloop.text.repair import repaired

_READERS: dict[ContentType, Callable[[str, Removals], tuple[str, str]]] = {
    ContentType.HTML: text_from_html,
    ContentType.MAIL: text_from_mail,
    ContentType.MARKDOWN: text_from_markdown,
}
# Where runs of blanks mean nothing.
_COLLAPSED = (ContentType.HTML, ContentType.MAIL)


def clean(
    raw: str,
    content_type: ContentType = ContentType.TEXT,
    *,
    title: str = "",
    languages: Collection[str] = (),
    min_words: int = DEFAULT_MIN_WORDS,
) -> Cleaned:
    """Take what a document says out of how it came, and judge whether it is worth keeping.

    Cleaning the result once more, as plain text, changes nothing.

    Args:
        raw: The source as it came.
        content_type: How it is written.
        title: What the sender calls it; "" for the title that the source has.
        languages: ISO 639-1 codes that are let in; none for all.
        min_words: Documents with fewer words are rejected.

    Raises:
        InvalidInput: a mail without headers.
        MissingExtra: a library of the extra `ingest` is not installed.

    >>> clean("# Gout\\n\\n[![build](a.svg)](ci)\\n\\nGout is painful.", ContentType.MARKDOWN).text
    'Gout is painful.'
    """
    rejection = rejection_of_source(raw)
    if rejection is not None:
        return Cleaned(title, "", None, (), rejection)
    removals = Removals()
    found, text = ("", raw) if content_type is ContentType.TEXT else _READERS[content_type](raw, removals)
    heading = " ".join(repaired(title or found, removals, collapse=True).split())
    text = repaired(text, removals, collapse=content_type in _COLLAPSED)
    if content_type is not ContentType.TEXT:
        text = _without_title(heading, text)
    language = language_of(f"{heading}\n{text}")
    rejection = rejection_of_text(heading, text, min_words=min_words) or _foreign(language, languages)
    return Cleaned(heading, text, language, removals.told(), rejection)


def _without_title(title: str, text: str) -> str:
    """Drop a first line that only repeats the title, which every passage carries anyhow."""
    first, _, rest = text.partition("\n")
    return rest.lstrip("\n") if title and " ".join(first.lstrip("# \t").split()) == title else text


def _foreign(language: str | None, languages: Collection[str]) -> Rejection | None:
    if not languages or language is None or language in languages:
        return None
    return Rejection("language", f"the text is in {language!r}, not in {', '.join(sorted(languages))}")
