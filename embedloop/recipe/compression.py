"""Smaller and faster: fewer weights to train, shorter vectors, and how a model version is exported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
