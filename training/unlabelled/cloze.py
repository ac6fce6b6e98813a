"""Inverse cloze: a sentence asks for the passage that it was taken out of (ORQA, Lee et al. 2019)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from embedloop.text.chunking import embedding_text

# Of the sentences that ask, so many stay in their passage, so that equal words still count (Lee et al. 2019).
KEPT_SHARE = 0.1
FEWEST_SENTENCES = 3
_WORDS = range(4, 41)
_UNSPACED_CHARACTERS = range(8, 121)
_SENTENCE_END = re.compile(r"(?<=[.!?।؟])\s+|(?<=[。！？])|\n{2,}")


def cloze(title: str, passage: str, generator: random.Random) -> tuple[str, str] | None:
    """A sentence of a passage and the rest of it, under its title; None where it has too few sentences.

    Args:
        title: Stays with the passage; may be empty.
        passage: Its text without the title.
        generator: Chooses the sentence, and whether it stays where it was.
    """
    sentences = list(sentences_of(passage))
    asking = [number for number, one in enumerate(sentences) if _can_ask(one)]
    if len(sentences) < FEWEST_SENTENCES or not asking:
        return None
    chosen = generator.choice(asking)
    kept = generator.random() < KEPT_SHARE
    rest = passage if kept else " ".join(one for n, one in enumerate(sentences) if n != chosen)
    return sentences[chosen], embedding_text(title, rest)


def sentences_of(text: str) -> Iterator[str]:
    """Sentences by their end marks and empty lines, without markup of lists and headings.

    >>> list(sentences_of("It hurts. Why? 3.5 mg help."))
    ['It hurts.', 'Why?', '3.5 mg help.']
    """
    for piece in _SENTENCE_END.split(text):
        sentence = " ".join(piece.split()).lstrip("#>*- ")
        if sentence:
            yield sentence


def _can_ask(sentence: str) -> bool:
    words = len(sentence.split())
    return words in _WORDS or (words == 1 and len(sentence) in _UNSPACED_CHARACTERS)
