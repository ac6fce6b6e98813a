"""Counts what cleaning did against the key of a stream of events. Pure functions over texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import html as lxml_html

_WORD = re.compile(r"\w+")
_PLACEHOLDER = re.compile(r"\[(EMAIL|IBAN|CARD|SSN|ID|DOB|MRN|IP|PHONE|NAME)\]")
_TYPES = {"person": "NAME"}


@dataclass(slots=True)
class Share:
    """Right ones among all of a kind."""

    right: int = 0
    of: int = 0

    def add(self, right: int, of: int) -> None:
        self.right += right
        self.of += of

    def told(self) -> float | None:
        """Null where there was none of the kind."""
        return round(self.right / self.of, 4) if self.of else None


@dataclass(slots=True)
class Detection:
    """Found ones against true ones."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def add(self, found: bool, true: bool) -> None:
        self.true_positives += found and true
        self.false_positives += found and not true
        self.false_negatives += true and not found

    def join(self, other: Detection) -> None:
        self.true_positives += other.true_positives
        self.false_positives += other.false_positives
        self.false_negatives += other.false_negatives

    @property
    def seen(self) -> bool:
        """Whether anything was found or was to be found."""
        return self.true_positives + self.false_positives + self.false_negatives > 0

    def told(self) -> dict[str, Any]:
        """Counts with precision and recall; null where nothing was found, or nothing was to be found."""
        found = self.true_positives + self.false_positives
        true = self.true_positives + self.false_negatives
        return {
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "false_negatives": self.false_negatives,
            "precision": round(self.true_positives / found, 4) if found else None,
            "recall": round(self.true_positives / true, 4) if true else None,
        }


def words(text: str) -> Counter[str]:
    """Words with their numbers; punctuation and blanks do not count."""
    return Counter(_WORD.findall(text))


def visible_words(raw: str, content_type: str) -> Counter[str]:
    """Words of the source: of a page those between its tags, of anything else all."""
    if content_type != "text/html" or not raw.strip():
        return words(raw)
    return words(" ".join(lxml_html.document_fromstring(raw.encode()).itertext()))


def removal(raw: Counter[str], kept: Counter[str], content: Counter[str]) -> tuple[int, int]:
    """How many words were removed, and how many of these were content.

    >>> removal(Counter(a=2, b=1), Counter(a=1), Counter(a=2))
    (2, 1)
    """
    return (raw - kept).total(), (content - kept).total()


def replaced(before: str, after: str) -> Iterator[tuple[str, str]]:
    """The pieces that placeholders stand for: (type, value).

    >>> list(replaced("mail a@b.org now", "mail [EMAIL] now"))
    [('EMAIL', 'a@b.org')]
    """
    first, *rest = _PLACEHOLDER.split(after)
    place = len(first)
    for number in range(0, len(rest), 2):
        kind, literal = rest[number : number + 2]
        last = number + 2 == len(rest)
        found = len(before) - len(literal) if last else before.index(literal, place)
        yield kind, before[place:found]
        place = found + len(literal)


def personal_data(
    before: str, after: str, key: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, bool, bool]]:
    """Each piece of the text that is personal data, or was taken for it: (type, found, true).

    What the key does not name counts as a mistake, although real text holds true numbers of its own.
    """
    wanted = [(_TYPES.get(one["type"], one["type"].upper()), one["value"]) for one in key]
    for kind, value in wanted:
        if value in before:
            yield kind, value not in after, True
    for kind, value in replaced(before, after):
        if not any(value in known or known in value for _, known in wanted):
            yield kind, True, False
