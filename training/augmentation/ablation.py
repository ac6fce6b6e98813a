"""Whether a kind of augmentation helps: the same training with and without it, on the same dev queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from embedloop.errors import InvalidInput
from embedloop.recipe.augmentation import AugmentationKind
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from training.augmentation.augment import Augmenter, augment
from training.evaluation import Difference, paired_difference

Trial = Callable[[Sequence[TrainingPair]], Mapping[str, float]]
"""Trains on pairs of train and answers with a score for each dev query; greater is better."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one kind changed: how many pairs it added, and the difference of the scores, with minus without.

    `helped` says that the whole interval lies above 0, `hurt` that it lies below.
    """

    kind: AugmentationKind
    added: int
    difference: Difference

    @property
    def helped(self) -> bool:
        return self.difference.low > 0

    @property
    def hurt(self) -> bool:
        return self.difference.high < 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"helped": self.helped, "hurt": self.hurt}


def ablate(
    pairs: Sequence[TrainingPair],
    augmenters: Mapping[AugmentationKind, Augmenter],
    trial: Trial,
    *,
    share: float,
    seed: int,
    confidence: float = 0.95,
) -> list[Effect]:
    """Runs one trial without augmentation and one with each kind alone.

    The interval is a paired bootstrap over dev queries: it tells chance among queries, not among seeds of the
    training. A kind that has no variant for any pair is told with a difference of 0 and without a trial.

    Args:
        pairs: Train and dev; the dev split is never augmented.
        augmenters: By kind.
        trial: Called once for each training.
        share: As in `augment`.
        seed: As in `augment`.
        confidence: Of the interval.

    Raises:
        InvalidInput: There is no dev pair, or the trial scored other queries than before.
    """
    if not any(pair.split is Split.DEV for pair in pairs):
        raise InvalidInput(f"an ablation needs dev pairs to measure on, got none among {len(pairs)} pairs")
    without = trial(pairs)
    effects = []
    for kind, augmenter in augmenters.items():
        added = augment(pairs, {kind: augmenter}, share, seed).pairs
        scores = trial([*pairs, *added]) if added else without
        effects.append(Effect(kind, len(added), paired_difference(without, scores, confidence)))
    return effects
