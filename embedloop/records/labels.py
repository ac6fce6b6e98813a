"""Labels that people made or that feedback was aggregated into, and the split of their queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Split(StrEnum):
    TRAIN = "train"
    DEV = "dev"
    GOLDEN = "golden"


class JudgmentSource(StrEnum):
    """Who said so: an import, people's thumbs and corrections, or nothing but their clicks."""

    IMPORT = "import"
    FEEDBACK = "feedback"
    CLICKS = "clicks"


@dataclass(frozen=True, slots=True)
class Judgment:
    """A label (query, document, grade); grade 0 is "judged not relevant". `sources` is its lineage."""

    query: str
    document_id: str
    grade: int
    split: Split
    source: str
    sources: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LabelledText:
    """An imported label on a text that is no document: relevant to the anchor, or a hard negative of it."""

    anchor: str
    text: str
    relevant: bool
    source: str
    split: Split = Split.TRAIN
