from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from embedloop.errors import InvalidInput
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from tests.unit.training.augmentation.test_augment import Suffixed, pair
from training.augmentation.ablation import ablate
from training.augmentation.spelling import Misspelling

TRAIN = [pair(f"ask {n}", f"d{n}") for n in range(8)]
PAIRS = [*TRAIN, *(pair(f"dev {n}", f"e{n}", Split.DEV) for n in range(30))]


def trial(pairs: Sequence[TrainingPair]) -> Mapping[str, float]:
    """Gains where a training query says please, and loses where one says harm."""
    said = " ".join(one.anchor for one in pairs if one.split is Split.TRAIN)
    gain = 0.2 * ("please" in said) - 0.2 * ("harm" in said)
    noise = random.Random(1)
    return {f"q{n}": 0.5 + noise.uniform(-0.05, 0.05) + gain for n in range(30)}


def test_each_kind_is_told_by_its_own_difference() -> None:
    kinds = {"synonyms": Suffixed("please"), "code_mixing": Suffixed("harm"), "spelling": Misspelling()}
    helps, hurts, none = ablate(PAIRS, kinds, trial, share=1.0, seed=1)  # type: ignore[arg-type]
    assert (helps.kind, helps.added, helps.helped, helps.hurt) == ("synonyms", 8, True, False)
    assert helps.difference.mean == pytest.approx(0.2)
    assert (hurts.helped, hurts.hurt) == (False, True)
    assert (none.kind, none.added, none.difference.mean, none.helped) == ("spelling", 0, 0.0, False)
    assert helps.to_json()["helped"] is True


def test_without_dev_pairs_nothing_can_be_said() -> None:
    with pytest.raises(InvalidInput, match="dev pairs"):
        ablate(TRAIN, {"synonyms": Suffixed()}, trial, share=1.0, seed=1)
