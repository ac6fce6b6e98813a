"""Figures beside their aims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedloop.errors import InvalidInput


def judged(value: float, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """A figure with its aim, and whether it meets it; without a bound it is only told.

    >>> judged(1.2, at_most=1.35)
    {'value': 1.2, 'aim': 'at most 1.35', 'met': True}
    >>> judged(1.2)
    {'value': 1.2}

    Raises:
        InvalidInput: Both bounds were given.
    """
    if at_most is not None and at_least is not None:
        raise InvalidInput(f"an aim has one bound, got at most {at_most:g} and at least {at_least:g}")
    if at_most is not None:
        return {"value": value, "aim": f"at most {at_most:g}", "met": value <= at_most}
    if at_least is not None:
        return {"value": value, "aim": f"at least {at_least:g}", "met": value >= at_least}
    return {"value": value}


def rows(verdicts: Mapping[str, Mapping[str, Any]]) -> list[list[Any]]:
    """The verdicts as rows of a table: name, value, aim, met."""
    words = {True: "yes", False: "no", None: None}
    return [
        [name.replace("_", " "), one["value"], one.get("aim"), words[one.get("met")]]
        for name, one in verdicts.items()
    ]
