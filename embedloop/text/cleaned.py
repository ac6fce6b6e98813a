"""What cleaning takes and gives: content types, a cleaned document, and the account of what was removed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

EXAMPLE_CHARS = 120


class ContentType(StrEnum):
    """How a document's text is written."""

    TEXT = "text/plain"
    HTML = "text/html"
    MAIL = "message/rfc822"
    MARKDOWN = "text/markdown"


@dataclass(frozen=True, slots=True)
class Removal:
    """What one rule took out of one document: how many pieces, how many characters, and the first of them."""

    rule: str
    items: int
    chars: int
    example: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a document is not worth keeping: a stable code, and a sentence with the numbers behind it."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A document without what surrounds it.

    Attributes:
        title: One line, "" where there is none.
        text: The content, without the title where the source repeats it as its first line.
        language: ISO 639-1 code, None where there is too little text to tell.
        removed: What each rule took out, in the order of the rules' first use.
        rejection: None for a document that is fit to be stored.
    """

    title: str
    text: str
    language: str | None
    removed: tuple[Removal, ...]
    rejection: Rejection | None


@dataclass(slots=True)
class Removals:
    """Adds up what the rules take out of one document."""

    _items: Counter[str] = field(default_factory=Counter)
    _chars: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, str] = field(default_factory=dict)

    def note(self, rule: str, text: str) -> None:
        """Count one piece; a blank one does not count."""
        shown = " ".join(text.split())
        if not shown:
            return
        self._items[rule] += 1
        self._chars[rule] += len(text)
        self._examples.setdefault(rule, shown[:EXAMPLE_CHARS])

    def told(self) -> tuple[Removal, ...]:
        """Everything noted, one entry a rule."""
        return tuple(
            Removal(rule, self._items[rule], self._chars[rule], example)
            for rule, example in self._examples.items()
        )
