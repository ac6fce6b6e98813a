"""Long sequences cut to what one statement, read or request may hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def slices(values: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """The values in their order, at most `most` at a time.

    >>> list(slices([1, 2, 3, 4, 5], 2))
    [[1, 2], [3, 4], [5]]
    """
    for start in range(0, len(values), most):
        yield values[start : start + most]
