"""Smaller and faster: fewer weights to train, shorter vectors, and how a model version is exported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from embedloop.frozen import Frozen

Dimension = Annotated[int, Field(ge=8, le=8192)]


class Lora(Frozen):
    """Low-rank matrices beside the frozen weights: only these are trained, and are then added to them.

    `rank` is their inner dimension; what they learn counts `alpha / rank` times. `targets` are names of linear
    layers, such as `query` and `value`; none means every linear layer.
    """

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[float, Field(gt=0, le=4096)] = 32.0
    dropout: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    targets: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,127}$")], ...], Field(max_length=32)
    ] = ()


class Student(Frozen):
    """A smaller model that learns the tuned model's vectors from texts of the corpus, which need no labels.

    It keeps so many `layers` of the tuned model, spread over its depth, or starts from `base`, the absolute
    path of a sentence-transformers folder on the server. `max_texts` of the corpus' passages and the training
    queries are gone through `epochs` times.
    """

    layers: Annotated[int, Field(ge=1, le=256)] | None = None
    base: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/.+")] | None = None
    epochs: Annotated[float, Field(gt=0, le=50)] = 3.0
    max_texts: Annotated[int, Field(ge=10, le=1_000_000)] = 20_000
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1e-2)] = 2e-4

    @model_validator(mode="after")
    def _starts_from_one(self) -> Student:
        if (self.layers is None) == (self.base is None):
            raise ValueError("give either layers, of the tuned model, or base, another model's folder")
        return self


class StaticTier(Frozen):
    """A static model made of the tuned one: a vector for each token, and a text is the mean of its tokens'.

    Vectors have at most `dimension` numbers. The `words` most frequent words of the corpus that the tokenizer
    cuts become tokens. A token weighs `a / (a + p)`, p its share of the corpus. With `rescore` the tuned model
    stays in the model version and orders the first hits of a search again, as many of `policy.reranking.depth`
    as fit into `policy.reranking.budget_ms`; without it the static model answers alone.
    """

    dimension: Dimension = 256
    words: Annotated[int, Field(ge=0, le=200_000)] = 10_000
    a: Annotated[float, Field(gt=0, le=1)] = 1e-3
    rescore: bool = True


class ExportSettings(Frozen):
    """Which numbers the graph computes with that encodes queries and passages alike.

    `fp32` is the model as it was trained. `int8` quantises its matrices in two ways and takes the faster one;
    when neither is faithful, the model version is refused. `auto` takes the fastest of all three, so that fp32
    is kept where int8 is unfaithful or no faster. Faithful is a graph whose vectors have at least `min_cosine`
    with those of fp32, text by text, whose top 10 shares at least `min_overlap` with that of fp32, and which
    loses at most the share `max_ndcg_drop` of its nDCG@10. What is changed here counts from the next model
    version.
    """

    precision: Literal["fp32", "int8", "auto"] = "fp32"
    min_cosine: Annotated[float, Field(ge=0, le=1)] = 0.97
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.8
    max_ndcg_drop: Annotated[float, Field(ge=0, le=1)] = 0.005
