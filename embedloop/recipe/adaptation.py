"""`policy.training.adaptation`: learning a domain from its passages, before any label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from embedloop.frozen import Frozen

# Of a term, unless told otherwise: fewer passages teach little of it, and may name a person.
MIN_DOCUMENTS = 5

Objective = Literal["mlm", "tsdae", "simcse", "crops", "align"]


class Adaptation(Frozen):
    """What happens to the base on the corpus' passages before it is fine-tuned.

    Up to `new_terms` domain terms that the tokenizer cuts, each in at least `min_documents` of the passages
    that are read, become pieces of their own. Then the model learns from up to `max_passages` passages, cut to
    `max_tokens`, by the `objective`: `mlm` guesses masked tokens, `tsdae` rebuilds a passage from the vector of
    a damaged copy, `simcse` tells a passage from others by two vectors of it that differ by dropout, `crops`
    by two parts of it, and `align` gives passages with new terms the vectors that the base gave them. Without
    an objective the vocabulary is all that changes.
    """

    new_terms: Annotated[int, Field(ge=0, le=10_000)] = 0
    min_documents: Annotated[int, Field(ge=1, le=1_000_000)] = MIN_DOCUMENTS
    objective: Objective | None = None
    epochs: Annotated[float, Field(gt=0, le=10)] = 1.0
    max_steps: Annotated[int | None, Field(ge=1)] = None
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1e-2)] = 3e-5
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 128
    time_budget_seconds: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0
    max_passages: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000

    @model_validator(mode="after")
    def _changes_something(self) -> Adaptation:
        if self.new_terms == 0 and self.objective is None:
            raise ValueError("adaptation must have new_terms above 0 or an objective, got neither")
        return self

    @model_validator(mode="after")
    def _aligns_new_terms(self) -> Adaptation:
        if self.objective == "align" and self.new_terms == 0:
            raise ValueError("objective align is of new terms: new_terms must be above 0, got 0")
        return self
