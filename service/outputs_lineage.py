"""What callers get about lineage: what models were trained on, and what was taken out of training."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from service.examples import LINEAGE, MODEL, REMOVAL, TRACED
from service.output import Absent, Out, example
from service.outputs import ModelOut


class ModelLineage(Out):
    """What a model version was trained on; all empty for an untrained base."""

    counts: Annotated[dict[str, int], Field(description="Pairs by split, and how negatives were found.")]
    sources: Annotated[dict[str, int], Field(description="Distinct sources by kind, as in `training-pairs`.")]
    report: Annotated[
        dict[str, Any],
        Field(description="Votes counted and left out, position bias, conflicts, leaks, coverage."),
    ]


class ModelDetail(ModelOut):
    """A model version with what it was trained on."""

    lineage: ModelLineage

    model_config = example(MODEL | {"lineage": LINEAGE})


class DataRemovalOut(Out):
    """A removal: what was deleted, and what had been trained on it before."""

    id: str
    kind: Literal["person", "document"]
    corpus: Annotated[str | None, Field(description="Null for a person removed from every corpus.")]
    removed: Annotated[
        dict[str, int],
        Field(
            description="How many `feedback`, `retrievals`, `judgments`, `pairs`, and texts of `queries`; what "
            "there was none of is left out."
        ),
    ]
    training_sets: Annotated[list[str], Field(description="Frozen before; none frozen later has the data.")]
    model_versions: Annotated[list[str], Field(description="Trained on these sets.")]
    created_at: datetime
    updated_at: Annotated[datetime, Field(description="When it was asked for last.")]
    settled_at: Annotated[datetime | None, Field(description="When workers had looked again; null until then.")]

    model_config = example(REMOVAL)


class DataRemovalList(Out):
    model_config = example({"items": [REMOVAL]})

    items: list[DataRemovalOut]


class TracedPairOut(Out):
    """A pair of a training set, and everything that it is made of."""

    id: Annotated[str, Field(description="The same in every training set that has the pair.")]
    training_set: str
    model_versions: Annotated[list[str], Field(description="Trained on this set.")]
    query: Annotated[str | None, Field(description="Empty when its text was removed.")]
    document_id: str
    split: Literal["train", "dev"]
    sources: Annotated[
        dict[str, list[str]],
        Field(
            description="By kind: `feedback` ids, `import` (name and line), `transfer`, `structure`, "
            "`glossary` and `generated` say where it is from, `augmented` what made a variant of it; "
            "`document` and `negative` are in it."
        ),
    ]

    model_config = example(TRACED)


class TracedPairList(Out):
    model_config = example({"items": [TRACED]})

    items: list[TracedPairOut]
    next: Annotated[str | SkipJsonSchema[None], Field(description="Send it as `after` for the next page.")] = (
        Absent
    )
