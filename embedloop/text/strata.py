"""What queries and documents are told apart by, so that every split has some of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNKNOWN = "unknown"
_MAX_TOPIC_CHARS = 120
_SHORT_CHARS = 500
_LONG_CHARS = 3000
_FEW_WORDS = 3
# Latin, fullwidth and Arabic.
_QUESTION_MARKS = ("?", "\uff1f", "\u061f")


def form_of(query: str) -> str:
    """How a query is written, in any language.

    >>> form_of("who may end it?"), form_of("dry eye"), form_of("tenant wants to end the lease")
    ('question', 'keywords', 'sentence')
    """
    if query.rstrip().endswith(_QUESTION_MARKS):
        return "question"
    return "keywords" if len(query.split()) <= _FEW_WORDS else "sentence"


def length_of(characters: int) -> str:
    """How long a text is.

    >>> length_of(499), length_of(500), length_of(3001)
    ('short', 'medium', 'long')
    """
    if characters < _SHORT_CHARS:
        return "short"
    return "medium" if characters <= _LONG_CHARS else "long"


def topic_of(metadata: Mapping[str, Any], field: str | None) -> str:
    """A document's value in the field that the policy names; of a list its first.

    >>> topic_of({"tags": ["joints", "pain"]}, "tags"), topic_of({}, "tags")
    ('joints', 'unknown')
    """
    value = metadata.get(field) if field is not None else None
    if isinstance(value, list):
        value = value[0] if value else None
    return UNKNOWN if value is None else str(value)[:_MAX_TOPIC_CHARS]
