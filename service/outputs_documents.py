"""What callers get of documents and judgments, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from service.cleaning_outputs import CleaningOut
from service.examples import DOCUMENT, WRITTEN
from service.output import Absent, Out, example
from service.outputs import LineError


class DocumentOut(Out):
    """A document; `rev` is the number of the change that wrote its present content."""

    document_id: str
    title: str
    text: str
    metadata: Annotated[dict[str, Any], Field(description="Flat: texts, numbers, booleans, lists of texts.")]
    rev: int

    model_config = example(DOCUMENT)


class WrittenOut(Out):
    """An acknowledged write: it is never lost."""

    document_id: str
    rev: Annotated[int, Field(description="The change that wrote the present content.")]
    seq: Annotated[int, Field(description="The change itself, a place in the log of all changes.")]
    changed: Annotated[bool, Field(description="False when exactly this content was there already.")]
    applied: Annotated[bool, Field(description="True once searches see it; told only for `wait=applied`.")]
    cleaning: CleaningOut | SkipJsonSchema[None] = Absent

    model_config = example(WRITTEN)


class DocumentAnswer(Out):
    """The answer to one line of `documents:bulk`."""

    line: Annotated[int, Field(ge=1)]
    status: Literal["stored", "unchanged", "deleted", "refused"]
    id: str | SkipJsonSchema[None] = Absent
    seq: Annotated[int | SkipJsonSchema[None], Field(description="Left out in a dry run.")] = Absent
    error: LineError | SkipJsonSchema[None] = Absent
    cleaning: CleaningOut | SkipJsonSchema[None] = Absent


class DocumentTotals(Out):
    """What became of all lines."""

    lines: int
    stored: int
    unchanged: int
    deleted: int
    refused: int
    last_seq: int | None
    applied: bool
    dry_run: Annotated[bool, Field(description="True where nothing was stored.")]


class DocumentSummary(Out):
    """The last line of the answer."""

    summary: DocumentTotals


class JudgmentAnswer(Out):
    """The answer to one line of `judgments:bulk`."""

    line: Annotated[int, Field(ge=1)]
    status: Literal["stored", "refused"]
    id: str | SkipJsonSchema[None] = Absent
    error: LineError | SkipJsonSchema[None] = Absent


class JudgmentTotals(Out):
    """What became of all lines."""

    lines: int
    stored: int
    refused: int


class JudgmentSummary(Out):
    """The last line of the answer."""

    summary: JudgmentTotals
