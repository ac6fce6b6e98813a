"""What callers are told of the cleaning of a document."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from service.output import Absent, Out


class RemovalOut(Out):
    """What one rule of cleaning took out."""

    rule: str
    items: Annotated[int, Field(ge=1, description="Pieces.")]
    chars: Annotated[int, Field(ge=1, description="Characters.")]
    example: Annotated[str, Field(description="The beginning of the first piece.")]


class RejectionOut(Out):
    """Why a document is not worth keeping, where the policy only tells."""

    code: str
    detail: str


class DuplicateOut(Out):
    """The live document that one repeats."""

    document_id: str
    similarity: Annotated[float, Field(ge=0, le=1, description="Share of runs of three words in common.")]


class CleaningOut(Out):
    """What was done to a document on its way in, and what was found; what does not apply is left out."""

    language: Annotated[str | SkipJsonSchema[None], Field(description="ISO 639-1.")] = Absent
    removed: list[RemovalOut] | SkipJsonSchema[None] = Absent
    redacted: Annotated[
        dict[str, int] | SkipJsonSchema[None], Field(description="Pieces of personal data by type.")
    ] = Absent
    rejection: RejectionOut | SkipJsonSchema[None] = Absent
    duplicate_of: DuplicateOut | SkipJsonSchema[None] = Absent
