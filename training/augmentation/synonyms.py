"""Synonyms from a team's glossary and from WordNet (EDA, Wei and Zou 2019)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from training.augmentation.phrases import Phrases
from training.unlabelled.glossary import Entry
from training.wordnet.build import Synset

_FEWEST_CHARACTERS = 3


class Synonyms:
    """Replaces one word or phrase by a synonym; the glossary's come before WordNet's.

    Args:
        glossary: Terms with their synonyms: each may stand for each other.
        wordnet: Of these only words with a single meaning are replaced, so that the meaning stays.
    """

    def __init__(self, glossary: Iterable[Entry] = (), wordnet: Sequence[Synset] = ()) -> None:
        self._own = Phrases(_of_glossary(glossary))
        self._general = Phrases(_of_wordnet(wordnet))

    def variants(self, query: str, generator: random.Random) -> list[str]:
        """One replacement of each kind that there is."""
        found = []
        for phrases in (self._own, self._general):
            occurrences = phrases.in_text(query)
            if occurrences:
                chosen = generator.choice(occurrences)
                found.append(chosen.replaced(query, generator.choice(list(chosen.alternatives))))
        return found


def _of_glossary(entries: Iterable[Entry]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for entry in entries:
        names = [entry.term, *entry.synonyms]
        for name in names:
            known.setdefault(name, []).extend(other for other in names if other != name)
    return known


def _of_wordnet(synsets: Sequence[Synset]) -> dict[str, list[str]]:
    meanings: dict[str, int] = {}
    for synset in synsets:
        for word in {one.lower() for one in synset.words}:
            meanings[word] = meanings.get(word, 0) + 1
    return {
        word: others
        for synset in synsets
        for word in synset.words
        if meanings[word.lower()] == 1 and len(word) >= _FEWEST_CHARACTERS
        if (others := [one for one in synset.words if one.lower() != word.lower()])
    }
