"""Variants of training pairs, with a lineage that says which kind made them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from embedloop.lineage import SourceKind
from embedloop.recipe.augmentation import AugmentationKind
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key


class Augmenter(Protocol):
    """Other ways to write a query."""

    def variants(self, query: str, generator: random.Random) -> Sequence[str]:
        """Variants that mean the same, the best first; none where it finds none."""
        ...


@dataclass(frozen=True, slots=True)
class Augmented:
    """New pairs, and by kind how many were `made` and how many left out as `ambiguous` or `known`."""

    pairs: Sequence[TrainingPair]
    told: Mapping[str, Mapping[str, int]]


def augment(
    pairs: Sequence[TrainingPair],
    augmenters: Mapping[AugmentationKind, Augmenter],
    share: float,
    seed: int,
    on_pair: Callable[[], None] = lambda: None,
) -> Augmented:
    """Makes one variant of the anchor of a share of the training pairs, by each kind.

    Dev pairs stay as they are: what is measured must be what people ask. A variant that asks for another
    document too is left out. The variants of the same pairs by the same seed are the same.

    Args:
        pairs: Train and dev.
        augmenters: By kind; variants of variants are never made.
        share: Of the pairs that a kind has a variant for, so many get it.
        seed: Chooses pairs and variants.
        on_pair: Called before each pair; raises to end the work.
    """
    owners: dict[str, set[str]] = {}
    for pair in pairs:
        owners.setdefault(pair.anchor_key, set()).add(pair.document_id)
    made: list[TrainingPair] = []
    told: dict[str, Counter[str]] = {}
    for kind, augmenter in augmenters.items():
        counts = told.setdefault(kind, Counter())
        for pair in pairs:
            generator = random.Random(f"{seed}/{kind}/{pair.anchor_key}/{pair.document_id}")
            if pair.split is not Split.TRAIN or generator.random() >= share:
                continue
            on_pair()
            variant = next(iter(augmenter.variants(pair.anchor, generator)), None)
            if variant is None or not variant.strip():
                continue
            key = query_key(variant)
            known = owners.setdefault(key, set())
            if pair.document_id in known:
                counts["known"] += 1
            elif known:
                counts["ambiguous"] += 1
            else:
                known.add(pair.document_id)
                counts["made"] += 1
                made.append(_variant(pair, variant.strip(), key, kind))
    return Augmented(made, {kind: dict(sorted(counts.items())) for kind, counts in told.items()})


def _variant(pair: TrainingPair, anchor: str, key: str, kind: AugmentationKind) -> TrainingPair:
    source = f"{SourceKind.AUGMENTED}:{kind}"
    return replace(pair, anchor=anchor, anchor_key=key, lineage=(*pair.lineage, source))
