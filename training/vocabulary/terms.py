"""The domain terms of a corpus: words that are usual here and rare in general texts.

A word's weirdness is its frequency here over that in general texts (Ahmad, Gillam and Tostevin 1999). The
general side is the packaged set from WordNet. Languages that put no blanks between words have no words here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from training.general import packaged_general_set, packaged_pairs

MIN_WEIRDNESS = 3.0
SHORTEST, LONGEST = 3, 40

# What the redactor leaves in a text is no word of the corpus.
_REDACTED = re.compile(r"\[[A-Z]+(?:_[a-z]+)?\]")


@dataclass(frozen=True, slots=True)
class WordCounts:
    """Words of some texts, as a tokenizer normalises them: in how many texts, and how often in all."""

    texts: int
    documents: Mapping[str, int]
    occurrences: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Term:
    """A word that belongs to the domain, and how many of the texts hold it."""

    word: str
    documents: int


def count_words(texts: Iterable[str], normalise: Callable[[str], str]) -> WordCounts:
    """Counts what stands between blanks and punctuation, in every script."""
    splitter = BertPreTokenizer()
    documents: Counter[str] = Counter()
    occurrences: Counter[str] = Counter()
    count = 0
    for text in texts:
        cleared = normalise(_REDACTED.sub(" ", text))
        words = Counter(word for word, _ in splitter.pre_tokenize_str(cleared))
        documents.update(words.keys())
        occurrences.update(words)
        count += 1
    return WordCounts(count, documents, occurrences)


def general_words(normalise: Callable[[str], str]) -> WordCounts:
    """Words of the packaged general texts."""
    general = packaged_general_set()
    pairs = [text for pair in packaged_pairs() for text in (pair.anchor, pair.positive)]
    return count_words([*general.queries.values(), *general.documents.values(), *pairs], normalise)


def find_terms(tokenizer: Tokenizer, texts: Iterable[str], min_documents: int) -> tuple[WordCounts, list[Term]]:
    """Words of a corpus as a tokenizer normalises them, and those of them that belong to the domain."""
    normalise = normaliser_of(tokenizer)
    words = count_words(texts, normalise)
    return words, domain_terms(words, general_words(normalise), min_documents)


def domain_terms(here: WordCounts, general: WordCounts, min_documents: int) -> list[Term]:
    """The words that the corpus uses and general texts do not, or far less.

    Args:
        here: Words of the corpus.
        general: Words of general texts, normalised alike.
        min_documents: Texts of the corpus that must hold a term.

    Returns:
        Terms of 3 to 40 characters with a letter in them, those in most texts first.

    >>> words = {"the": 90, "gout": 5, "tophus": 5, "rare": 1, "1999": 5}
    >>> here = WordCounts(20, documents=words, occurrences=words)
    >>> general = WordCounts(20, documents={}, occurrences={"the": 90, "gout": 1, "of": 15})
    >>> [term.word for term in domain_terms(here, general, min_documents=5)]
    ['gout', 'tophus']
    """
    running, in_general = sum(here.occurrences.values()), sum(general.occurrences.values())

    def is_weird(word: str) -> bool:
        elsewhere = general.occurrences.get(word, 0)
        # Frequencies are compared as products: neither side may be empty.
        return here.occurrences[word] * in_general >= MIN_WEIRDNESS * elsewhere * running

    found = [
        Term(word, documents)
        for word, documents in here.documents.items()
        if documents >= min_documents and _may_be_term(word) and is_weird(word)
    ]
    return sorted(found, key=lambda term: (-term.documents, term.word))


def normaliser_of(tokenizer: Tokenizer) -> Callable[[str], str]:
    """What a tokenizer does to a text before it looks for pieces: case, accents, forms of a character.

    SentencePiece's mark of a blank is none of it.
    """
    step = tokenizer.normalizer
    if step is None:
        return str
    return lambda text: str(step.normalize_str(text)).replace("▁", " ")


def _may_be_term(word: str) -> bool:
    return SHORTEST <= len(word) <= LONGEST and any(char.isalpha() for char in word)
