"""How much the answers of two systems differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def change_of(before: Sequence[str], after: Sequence[str]) -> float:
    """1 minus the average overlap of two rankings (Webber et al. 2010): 0 for equals, 1 for nothing in common.

    What is at the top weighs more. A shorter ranking is compared as deep as the longer one.

    >>> change_of(["a", "b", "c"], ["a", "b", "c"]), change_of(["a"], ["b"]), change_of([], [])
    (0.0, 1.0, 0.0)
    >>> change_of(["a", "b"], ["b", "a"]), change_of(["a", "b"], ["a", "c"])
    (0.5, 0.25)
    """
    depth = max(len(before), len(after))
    if not depth:
        return 0.0
    overlaps = [len(set(before[:d]) & set(after[:d])) / d for d in range(1, depth + 1)]
    return 1.0 - sum(overlaps) / depth


def most_changed(changes: Mapping[str, float], most: int) -> list[str]:
    """The queries that change most, the greatest change first; what does not change is left out.

    >>> most_changed({"a": 0.1, "b": 0.0, "c": 0.7}, 5)
    ['c', 'a']
    """
    return sorted((q for q in changes if changes[q] > 0), key=lambda q: (-changes[q], q))[:most]
