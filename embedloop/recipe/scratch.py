"""Models made from the corpus alone, for languages, codes and jargon that no base model reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from embedloop.frozen import Frozen

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class WordVectors(Frozen):
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
    seed: Seed = 13

    @model_validator(mode="after")
    def _ngrams_in_order(self) -> WordVectors:
        if self.longest_ngram < self.shortest_ngram:
            raise ValueError(
                f"longest_ngram must be at least shortest_ngram ({self.shortest_ngram}), "
                f"got {self.longest_ngram}"
            )
        return self


class OwnTransformer(Frozen):
    """A small BERT with a tokenizer of its own, pre-trained on the corpus.

    The tokenizer has at most `max_pieces` pieces, each met `min_count` times. With `initial: words` a piece
    begins with its vector of latent semantic analysis, with `random` at random. Then masked tokens are guessed
    for `mlm_epochs`, and two parts of a passage told from those of others for `crop_epochs`; each ends after
    its share of `time_budget_seconds`, if not before. Texts are cut to `max_tokens` while it learns.
    """

    method: Literal["transformer"]
    dimension: Annotated[int, Field(ge=16, le=1024)] = 256
    layers: Annotated[int, Field(ge=1, le=12)] = 3
    heads: Annotated[int, Field(ge=1, le=16)] = 4
    max_pieces: Annotated[int, Field(ge=300, le=100_000)] = 8000
    min_count: Annotated[int, Field(ge=1, le=1000)] = 2
    initial: Literal["words", "random"] = "words"
    mlm_epochs: Annotated[float, Field(ge=0, le=100)] = 2.0
    crop_epochs: Annotated[float, Field(ge=0, le=100)] = 5.0
    max_steps: Annotated[int | None, Field(ge=1)] = None
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1e-2)] = 1e-4
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 128
    time_budget_seconds: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0
    seed: Seed = 13

    @model_validator(mode="after")
    def _heads_share_the_dimension(self) -> OwnTransformer:
        if self.dimension % self.heads:
            raise ValueError(f"dimension must be a multiple of heads ({self.heads}), got {self.dimension}")
        return self


class _Chosen(BaseModel):
    method: Literal["lsa", "word2vec", "fasttext", "transformer"]


def _by_method(value: Any, by_type: ValidatorFunctionWrapHandler) -> Any:
    """Validates a mapping by its method alone, so that errors name the field and no other method's."""
    if not isinstance(value, Mapping):
        return by_type(value)
    chosen = OwnTransformer if _Chosen.model_validate(value).method == "transformer" else WordVectors
    return chosen.model_validate(value)


FromScratch = Annotated[WordVectors | OwnTransformer, WrapValidator(_by_method)]
