"""Reports in invented words: what means the same stands in the same texts, and no model has read it before."""

from __future__ import annotations

import random
from dataclasses import dataclass

_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
TOPICS = 12
_WORDS_OF_TOPIC = 8
_COMMON = 20


@dataclass(frozen=True)
class Jargon:
    """`reports` is what is learnt from; each query has its document, and shares no word with it."""

    reports: list[str]
    documents: list[str]
    queries: list[str]


def jargon(seed: int = 0) -> Jargon:
    """Each topic has words of its own; a document has half of them, its query the other half."""
    generator = random.Random(seed)
    words = _invented(TOPICS * _WORDS_OF_TOPIC + _COMMON, generator)
    common = words[:_COMMON]
    topics = [words[_COMMON + t * _WORDS_OF_TOPIC :][:_WORDS_OF_TOPIC] for t in range(TOPICS)]
    reports = [
        " ".join(generator.sample(topic, 5) + generator.sample(common, 4))
        for topic in topics
        for _ in range(40)
    ]
    half = _WORDS_OF_TOPIC // 2
    return Jargon(
        reports,
        [" ".join(topic[:half]) for topic in topics],
        [" ".join(topic[half:]) for topic in topics],
    )


def _invented(count: int, generator: random.Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = (generator.choice(_CONSONANTS) + generator.choice(_VOWELS) for _ in range(3))
        found["".join(syllables) + generator.choice(_CONSONANTS)] = None
    return list(found)
