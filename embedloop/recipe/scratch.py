"""Models made from the corpus alone, for languages, codes and jargon that no base model reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from embedloop.frozen import Frozen


class FromScratch(Frozen):
    """Word vectors learnt from the corpus, averaged with frequency weights: a static model.

    `lsa` (latent semantic analysis, Deerwester et al. 1990) takes a few hundred passages and seconds; with
    fewer passages than `dimension` it loses nothing of their words. `word2vec` (Mikolov et al. 2013) needs many
    more to tell what means the same. `fasttext` (Bojanowski et al. 2017) also reads unknown and misspelt
    words, by the pieces that they share with known ones. `epochs` and `window` are of these two, the n-grams of
    `fasttext`.

    A word counts that occurs `min_count` times. With `phrases`, pairs of words that stand together more often
    than by chance get a vector of their own. A word with frequency p in the corpus weighs a / (a + p), and
    `components` directions that all passages share are removed (SIF, Arora et al. 2017).
    """

    method: Literal["lsa", "word2vec", "fasttext"]
    dimension: Annotated[int, Field(ge=16, le=1024)] = 256
    epochs: Annotated[int, Field(ge=1, le=200)] = 20
    window: Annotated[int, Field(ge=1, le=100)] = 10
    min_count: Annotated[int, Field(ge=1, le=1000)] = 2
    max_words: Annotated[int, Field(ge=100, le=1_000_000)] = 50_000
    phrases: bool = False
    shortest_ngram: Annotated[int, Field(ge=2, le=8)] = 3
    longest_ngram: Annotated[int, Field(ge=2, le=8)] = 5
    a: Annotated[float, Field(gt=0, le=1)] = 3e-4
    components: Annotated[int, Field(ge=0, le=8)] = 1
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 13

    @model_validator(mode="after")
    def _ngrams_in_order(self) -> FromScratch:
        if self.longest_ngram < self.shortest_ngram:
            raise ValueError(
                f"longest_ngram must be at least shortest_ngram ({self.shortest_ngram}), "
                f"got {self.longest_ngram}"
            )
        return self
