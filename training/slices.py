"""Slices: groups of queries that a mean over all of them would hide."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

Slices = Mapping[str, Mapping[str, frozenset[str]]]
"""Facet -> value -> ids of its queries; a query may be in several values of a facet, or in none."""

SHORT_WORDS, LONG_WORDS = 3, 8
# More topics than these would be found worse by chance alone, and nobody reads them.
MOST_TOPICS = 20


def make_slices(
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    topics: Mapping[str, Collection[str]],
    asked: Mapping[str, int],
) -> Slices:
    """Slices queries by length, script, topic of what answers them, and how often they are asked.

    Args:
        queries: Query id -> text.
        qrels: Query id -> document id -> grade.
        topics: Document id -> its topics; without any there is no facet `topic`.
        asked: Query id -> how often people asked it; without any there is no facet `frequency`.
    """
    facets = {
        "length": _grouped((query, [length_of(text)]) for query, text in queries.items()),
        "script": _grouped((query, [script_of(text)]) for query, text in queries.items()),
        "topic": _largest(_grouped((query, _topics_of(qrels.get(query, {}), topics)) for query in queries)),
        "frequency": _by_frequency(queries, asked),
    }
    # A facet with one value is the mean over all.
    return {name: values for name, values in facets.items() if len(values) > 1}


def length_of(text: str) -> str:
    """Names the length of a query, in words that blanks part.

    >>> [length_of(text) for text in ("gout", "what helps against gout", "a b c d e f g h")]
    ['short', 'medium', 'long']
    """
    words = len(text.split())
    if words <= SHORT_WORDS:
        return "short"
    return "long" if words >= LONG_WORDS else "medium"


def script_of(text: str) -> str:
    """Names the writing system of most of the letters: queries are too short to tell their language by.

    >>> script_of("painful toe"), script_of("पैर में दर्द"), script_of("120/80")
    ('latin', 'devanagari', 'none')
    """
    names = (unicodedata.name(char, "").split(" ")[0].split("-")[0] for char in text if char.isalpha())
    counted = Counter(name.lower() for name in names if name)
    return max(sorted(counted), key=lambda name: counted[name]) if counted else "none"


def topics_of(metadata: Mapping[str, Any], field: str) -> list[str]:
    """The topics that a document's metadata names: a value, or each of a list of them.

    >>> topics_of({"area": ["heart", "lung"]}, "area"), topics_of({"year": 2024}, "year"), topics_of({}, "year")
    (['heart', 'lung'], ['2024'], [])
    """
    value = metadata.get(field)
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _topics_of(grades: Mapping[str, int], topics: Mapping[str, Collection[str]]) -> set[str]:
    return {topic for document, grade in grades.items() if grade > 0 for topic in topics.get(document, ())}


def _by_frequency(queries: Collection[str], asked: Mapping[str, int]) -> dict[str, frozenset[str]]:
    """`head` is the most asked queries that make up half of what is asked; the rest is `tail`."""
    counts = {query: asked.get(query, 0) for query in queries}
    total = sum(counts.values())
    if not total:
        return {}
    head: set[str] = set()
    seen = 0
    for query in sorted(counts, key=lambda query: (-counts[query], query)):
        if 2 * seen >= total:
            break
        head.add(query)
        seen += counts[query]
    groups = {"head": frozenset(head), "tail": frozenset(counts.keys() - head)}
    return {name: group for name, group in groups.items() if group}


def _grouped(valued: Iterable[tuple[str, Collection[str]]]) -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for query, values in valued:
        for value in values:
            groups.setdefault(value, set()).add(query)
    return {value: frozenset(groups[value]) for value in sorted(groups)}


def _largest(groups: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    kept = sorted(groups, key=lambda value: (-len(groups[value]), value))[:MOST_TOPICS]
    return {value: groups[value] for value in sorted(kept)}
