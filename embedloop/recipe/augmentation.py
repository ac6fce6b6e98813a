"""Variants of training queries: other words for the same question."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from embedloop.frozen import Frozen
from embedloop.recipe.sources import GlossaryPath

AugmentationKind = Literal[
    "synonyms", "abbreviations", "spelling", "transliteration", "code_mixing", "back_translation"
]
Language = Annotated[str, Field(min_length=2, max_length=64, pattern=r"^[^\W\d_][\w ()-]*$")]


class Augmentation(Frozen):
    """Which variants, and for which share of the training pairs each kind makes one.

    `synonyms` takes them from `training.glossary` and from the WordNet files in the folder `wordnet`, or from
    the glossary alone where that is None; `abbreviations` from the glossary and from what documents explain in
    parentheses. `code_mixing` needs `bilingual`, a JSONL or CSV file on the server with `term` and
    `translation`. `back_translation` asks the language model of `EMBEDLOOP_LLM_URL` to translate from
    `language` to `through` and back.
    """

    kinds: Annotated[tuple[AugmentationKind, ...], Field(min_length=1, max_length=6)] = (
        "synonyms",
        "abbreviations",
        "spelling",
    )
    share: Annotated[float, Field(gt=0, le=1)] = 0.3
    wordnet: Annotated[str, Field(max_length=1024, pattern=r"^/.+")] | None = "/usr/share/wordnet"
    bilingual: GlossaryPath | None = None
    language: Language = "English"
    through: Language = "German"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 13

    @model_validator(mode="after")
    def _code_mixing_has_words(self) -> Augmentation:
        if "code_mixing" in self.kinds and self.bilingual is None:
            raise ValueError("bilingual must be the path of a file where kinds name code_mixing, got none")
        return self
