"""Near duplicates among texts that are held in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from embedloop.text.duplicates import Shingles, band_keys, shingles, similarity

# With fewer runs of three words one word more or less leaves less than 0.8 in common: only the same runs do.
FEWEST_RUNS = 4


class NearDuplicates:
    """Named texts, and which of them is like a given one.

    Args:
        least: Similarity from which two texts are near duplicates, 0.8..1; of runs of three words, Jaccard.
    """

    def __init__(self, least: float):
        self._least = least
        self._names: dict[str, list[tuple[str, Shingles]]] = defaultdict(list)

    def add(self, name: str, text: str) -> None:
        runs = shingles(text)
        for key in keys(runs):
            self._names[key].append((name, runs))

    def like(self, text: str) -> str | None:
        """The name of the most similar text; None when there is none that is near enough.

        >>> known = NearDuplicates(0.8)
        >>> known.add("a", "who may end the lease of the house")
        >>> known.like("Who may end the lease of the house now?"), known.like("who may end the lease")
        ('a', None)
        """
        if not self._names:
            return None
        runs = shingles(text)
        near: dict[str, float] = {}
        for key in keys(runs):
            for name, others in self._names.get(key, ()):
                if name not in near:
                    near[name] = similarity(runs, others)
        best = max(near, key=lambda name: (near[name], name), default=None)
        return best if best is not None and near[best] >= self._least else None


def keys(runs: Shingles) -> list[str]:
    """Buckets in which near duplicates meet; a text of few runs meets only those with the same ones."""
    if 0 < len(runs) < FEWEST_RUNS:
        return [f"=={runs.tobytes().hex()}"]
    return band_keys(runs)


def clusters(texts: Mapping[str, str], least: float) -> dict[str, str]:
    """Groups near duplicates around the first of each group; texts without any are left out.

    >>> clusters({"a": "one two three", "b": "One, two, three!", "c": "four five six"}, 0.8)
    {'a': 'a', 'b': 'a'}
    """
    leaders = NearDuplicates(least)
    found: dict[str, str] = {}
    for name, text in texts.items():
        leader = leaders.like(text)
        if leader is None:
            leaders.add(name, text)
        else:
            found[leader] = found[name] = leader
    return found


def near(queries: Iterable[str], others: Iterable[str], least: float) -> set[str]:
    """Those of `queries` that are near duplicates of one of `others`."""
    known = NearDuplicates(least)
    for text in others:
        known.add(text, text)
    return {query for query in queries if known.like(query) is not None}
