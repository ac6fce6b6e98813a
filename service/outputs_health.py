"""What callers get about the service itself: whether it lives, and what it can do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from embedloop.capabilities import AliasedDrop, ServerKind
from service.examples import READINESS
from service.output import Absent, Out, example


class HealthOut(Out):
    model_config = example({"status": "ok"})

    status: Literal["ok"]


class MilvusCapabilities(Out):
    """What the connected Milvus can do."""

    server: Annotated[str, Field(description="Its version.")]
    kind: ServerKind
    index_types: Annotated[list[str], Field(description="Values that `policy.index.index_type` may take.")]
    metric_types: Annotated[list[str], Field(description="Values that `policy.index.metric_type` may take.")]
    vector_types: Annotated[list[str], Field(description="Values that `policy.index.vector_type` may take.")]
    bm25: Annotated[bool, Field(description="Whether `policy.index.bm25` may be true.")]
    filter_templates: bool
    iterator_timestamps: bool
    max_dimension: int
    aliased_drop: AliasedDrop


class Capabilities(Out):
    """Parts that answered the check."""

    milvus: MilvusCapabilities | SkipJsonSchema[None] = Absent


class ReadinessOut(Out):
    """Each part with `ok`, or with what hinders it; and what the parts can do."""

    status: Literal["ready", "unready", "stopping"]
    checks: dict[str, str]
    capabilities: Capabilities

    model_config = example(READINESS)
