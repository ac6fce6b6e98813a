"""Pairs, the frozen sets of them, and what was taken out of all of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from embedloop.records.labels import Split


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """Anchor, positive and any number of hard negatives (texts), with the lineage that they came from.

    Documents with the same `cluster` are near duplicates of each other; empty means that none is known.
    `negative_ids` names the documents of the negatives, as far as these are documents.
    """

    anchor: str
    positive: str
    negatives: Sequence[str]
    anchor_key: str
    document_id: str
    split: Split
    lineage: Sequence[str]
    cluster: str = ""
    negative_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A frozen, hashed snapshot of pairs with its splits; the pairs are a file in the model store.

    `report` tells how it came about: the votes that were counted and left out, and what the pairs cover.
    """

    training_set_id: str
    corpus: str
    sha256: str
    counts: Mapping[str, int]
    path: str
    created_at: datetime
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Removal:
    """A person's or a document's data taken out of all future training; `removed` counts what was deleted.

    `corpus` is None for a person who was removed from every corpus. `settled_at` is None until a later look has
    taken what was still on its way when it was asked for, and what a process that died had left.
    """

    removal_id: str
    kind: str
    corpus: str | None
    removed: Mapping[str, int]
    created_at: datetime
    updated_at: datetime
    settled_at: datetime | None = None
