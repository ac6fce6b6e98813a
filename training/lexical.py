"""Search by words: BM25 over texts (Robertson & Zaragoza 2009), as `bm25s` computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bm25s

from embedloop.errors import InvalidInput

# Vowel signs of Indic scripts are no `\w` in Python, which would cut their words in pieces.
_WORD = r"[^\s!-/:-@\[-`{-~।॥،؛؟。，、]+"


class Bm25:
    """A `training.mining.Searcher` over a fixed set of documents; scores are BM25, greater is better."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Indexes the texts by document id.

        Raises:
            InvalidInput: There is no text.
        """
        if not texts:
            raise InvalidInput("BM25 needs at least one text, got 0")
        self._ids = sorted(texts)
        self._index = bm25s.BM25()
        self._index.index(_words([texts[one] for one in self._ids]), show_progress=False)

    def search(self, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """Per query, up to `limit` (document id, score), best first, of those with a common word."""
        if not queries:
            return []
        found, scores = self._index.retrieve(
            _words(queries), k=min(limit, len(self._ids)), show_progress=False, backend_selection="numpy"
        )
        return [
            [(self._ids[index], float(score)) for index, score in zip(row, points, strict=True) if score > 0]
            for row, points in zip(found, scores, strict=True)
        ]


def _words(texts: Sequence[str]) -> list[list[str]]:
    """Words in lower case; no list of stop words, which would be of one language."""
    split: list[list[str]] = bm25s.tokenize(
        list(texts), token_pattern=_WORD, stopwords=None, return_ids=False, show_progress=False
    )
    return split
