from __future__ import annotations

import pytest

from embedloop.errors import TrainingFailed
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.leakage import Measured, check_leakage, without_leaks

GOLDEN = "who may end the lease of the house in a year"
DEV = "how is the deposit paid back to the tenant at the end"


def pair(
    anchor: str, split: Split = Split.TRAIN, positive: str = "a passage", document: str = "D1"
) -> TrainingPair:
    return TrainingPair(anchor, positive, (), query_key(anchor), document, split, ("f-1",))


@pytest.fixture
def measured() -> Measured:
    return Measured(golden=[GOLDEN, "dry eye"], dev=[DEV], similarity=0.8)


@pytest.mark.parametrize(
    ("leaking", "reason"),
    [
        (pair("Dry EYE?"), "golden_query"),
        (pair(f"{GOLDEN} now"), "like_golden_query"),
        (pair(f"{GOLDEN} now", Split.DEV), "like_golden_query"),
        (pair(f"{DEV} please"), "like_dev_query"),
        (pair("anything", positive="Dry eye"), "golden_query"),
        (pair("anything", positive=f"{GOLDEN} now"), "like_golden_query"),
    ],
)
def test_what_is_measured_neither_trains_nor_passes_the_check(
    measured: Measured, leaking: TrainingPair, reason: str
) -> None:
    kept, left_out = without_leaks([pair("gout"), leaking], measured)
    assert (kept, left_out) == ([pair("gout")], {reason: 1})
    check_leakage(kept, measured)
    with pytest.raises(TrainingFailed, match="must never train"):
        check_leakage([leaking], measured)


def test_dev_query_stays_in_dev(measured: Measured) -> None:
    assert without_leaks([pair(DEV, Split.DEV)], measured)[0] == [pair(DEV, Split.DEV)]


def test_other_query_about_a_golden_querys_document_may_train(measured: Measured) -> None:
    check_leakage([pair("burning eyes", document="answer of the golden query")], measured)


def test_golden_pair_is_leakage_whatever_its_query() -> None:
    with pytest.raises(TrainingFailed, match="golden"):
        check_leakage([pair("gout", Split.GOLDEN)], Measured((), (), 1.0))


def test_query_in_train_and_dev_is_leakage() -> None:
    with pytest.raises(TrainingFailed, match="both"):
        check_leakage([pair("dry eye"), pair("Dry eye", Split.DEV)], Measured((), (), 1.0))
