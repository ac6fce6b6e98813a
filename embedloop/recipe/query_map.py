"""`policy.training.query_map`: a map of queries is learnt instead of a model. See docs/roads/adapters.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from embedloop.frozen import Frozen

MapKind = Literal["procrustes", "affine", "low_rank", "mlp"]


class QueryMapSettings(Frozen):
    """What moves queries towards what answers them; passages keep their vectors.

    `procrustes` turns (an orthogonal matrix, in closed form), `affine` is any matrix and a shift, `low_rank`
    changes queries in `rank` directions, `mlp` in a curve of `hidden` units. `regularisation` is what moving a
    random unit vector by its own length costs, beside the mean loss of a pair: it holds the map near the
    identity where pairs say little.
    """

    kind: MapKind = "affine"
    rank: Annotated[int, Field(ge=1, le=1024)] = 32
    hidden: Annotated[int, Field(ge=1, le=4096)] = 256
    regularisation: Annotated[float, Field(ge=0, le=100)] = 0.1
