"""Vectors of the words of a corpus: LSA, and with gensim Word2Vec and FastText.

One thread, so that a seed always gives the same vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gensim.models import FastText, Word2Vec
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.fasttext_inner import ft_hash_bytes
from gensim.models.phrases import Phrases
from numpy.typing import NDArray

from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.recipe.scratch import WordVectors
from training.scratch import latent
from training.scratch.tokenizer import PIECE_PREFIX, piece_counts

# gensim reads no more words of one text.
_MOST_WORDS = 10_000
_MOST_PIECES = 50_000
_NEGATIVES = 10
# Of normalised pointwise mutual information, -1..1 (Bouma 2009), which depends on no corpus' size.
_PHRASE_SCORE = 0.6


@dataclass(frozen=True)
class Lexicon:
    """What was learnt of words.

    Attributes:
        counts: Word or phrase -> how often it occurs, the most frequent first.
        words: (words, dim) float32, in the order of `counts`.
        pieces: Pieces of words, those inside a word with the prefix `##`; none for Word2Vec.
        piece_vectors: (pieces, dim) float32.
    """

    counts: dict[str, int]
    words: NDArray[np.float32]
    pieces: tuple[str, ...]
    piece_vectors: NDArray[np.float32]


def learn_words(
    texts: Sequence[Sequence[str]],
    settings: WordVectors,
    *,
    on_progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Lexicon:
    """Learns vectors of the words of a corpus.

    Args:
        texts: Each a list of words.
        settings: The recipe.
        on_progress: Told the share that is done, 0..1, after every epoch.
        should_stop: Asked before every text.

    Raises:
        TrainingFailed: Too few words occur `min_count` times.
        JobCancelled: `should_stop` said so.
    """
    if settings.phrases:
        texts = _with_phrases(texts, settings)
    if settings.method == "lsa":
        return _latent(texts, settings, on_progress)
    sentences = _Sentences(texts, should_stop)
    model = _model(settings)
    model.build_vocab(sentences)
    _check(sentences)
    if not len(model.wv):
        raise _too_few(texts, settings)
    model.train(
        sentences,
        total_examples=model.corpus_count,
        epochs=settings.epochs,
        callbacks=[_Epochs(sentences, settings.epochs, on_progress)],
    )
    counts = {word: int(model.wv.get_vecattr(word, "count")) for word in model.wv.index_to_key}
    words = np.asarray(model.wv.vectors, dtype=np.float32)
    if settings.method == "word2vec":
        return Lexicon(counts, words, (), np.empty((0, settings.dimension), dtype=np.float32))
    single = {word: count for word, count in counts.items() if " " not in word}
    pieces = tuple(piece_counts(single, settings.longest_ngram, settings.min_count))[:_MOST_PIECES]
    vectors = [_piece_vector(piece, model.wv, settings) for piece in pieces]
    return Lexicon(counts, words, pieces, np.asarray(vectors, dtype=np.float32))


def _latent(
    texts: Sequence[Sequence[str]], settings: WordVectors, on_progress: Callable[[float], None]
) -> Lexicon:
    counts = latent.count_words(texts, settings.min_count, settings.max_words)
    if len(counts) < 2 or len(texts) < 2:
        raise _too_few(texts, settings)
    on_progress(0.1)
    words = latent.word_vectors(texts, counts, settings.a, settings.dimension, settings.seed)
    return Lexicon(counts, words, (), np.empty((0, words.shape[1]), dtype=np.float32))


def _too_few(texts: Sequence[Sequence[str]], settings: WordVectors) -> TrainingFailed:
    return TrainingFailed(
        f"from_scratch: {len(texts)} texts hold too few words that occur {settings.min_count} times (min_count)"
    )


def _model(settings: WordVectors) -> Any:
    common = {
        "vector_size": settings.dimension,
        "window": settings.window,
        "min_count": settings.min_count,
        "max_final_vocab": settings.max_words,
        "seed": settings.seed,
        "negative": _NEGATIVES,
        "sg": 1,
        "workers": 1,
    }
    if settings.method == "word2vec":
        return Word2Vec(**common)
    return FastText(min_n=settings.shortest_ngram, max_n=settings.longest_ngram, **common)


class _Sentences:
    """The texts, again for each epoch; none are left once somebody asked to stop."""

    def __init__(self, texts: Sequence[Sequence[str]], should_stop: Callable[[], bool]) -> None:
        self.stopped = False
        self._texts = texts
        self._should_stop = should_stop

    def __iter__(self) -> Iterator[Sequence[str]]:
        # Read in a thread of gensim's, from which nothing can be raised.
        for text in self._texts:
            self.stopped = self.stopped or self._should_stop()
            if self.stopped:
                return
            for start in range(0, len(text), _MOST_WORDS):
                yield text[start : start + _MOST_WORDS]


def _check(sentences: _Sentences) -> None:
    if sentences.stopped:
        raise JobCancelled("learning word vectors was stopped; it begins anew")


class _Epochs(CallbackAny2Vec):
    def __init__(self, sentences: _Sentences, epochs: int, on_progress: Callable[[float], None]) -> None:
        self._sentences = sentences
        self._epochs = epochs
        self._on_progress = on_progress
        self._done = 0

    def on_epoch_end(self, model: Any) -> None:
        _check(self._sentences)
        self._done += 1
        self._on_progress(self._done / self._epochs)


def _with_phrases(texts: Sequence[Sequence[str]], settings: WordVectors) -> list[list[str]]:
    """Joins pairs of words that stand together more often than by chance (Mikolov et al. 2013)."""
    least = max(2, settings.min_count)
    phrases = Phrases(texts, min_count=least, threshold=_PHRASE_SCORE, scoring="npmi", delimiter=" ")
    found = phrases.freeze()
    return [list(found[list(text)]) for text in texts]


def _piece_vector(piece: str, vectors: Any, settings: WordVectors) -> NDArray[np.float32]:
    """Mean of the n-grams within a piece, as FastText reads a word that it does not know."""
    inside = piece.startswith(PIECE_PREFIX)
    text = piece.removeprefix(PIECE_PREFIX) if inside else f"<{piece}"
    buckets = [
        ft_hash_bytes(text[start : start + size].encode()) % vectors.bucket
        for size in range(settings.shortest_ngram, settings.longest_ngram + 1)
        for start in range(len(text) - size + 1)
    ]
    if not buckets:
        return np.zeros(settings.dimension, dtype=np.float32)
    mean: NDArray[np.float32] = vectors.vectors_ngrams[buckets].mean(axis=0)
    return mean
