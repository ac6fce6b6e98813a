from __future__ import annotations

import numpy as np

from embedloop.records.labels import Split
from tests.unit.training.test_query_map import turned
from training.label_probe import MIN_HELD_OUT, Space, parted, probe_labels

COUNT = 300


def space() -> Space:
    pairs = turned(COUNT)
    keys = [f"q{n:03}" for n in range(COUNT)]
    qrels = {key: {pairs.documents[n]: 1} for n, key in enumerate(keys)}
    return Space(keys, pairs.queries, pairs.documents, pairs.positives, qrels)


def splits(golden: int, dev: int) -> dict[str, Split]:
    order = [Split.GOLDEN] * golden + [Split.DEV] * dev + [Split.TRAIN] * (COUNT - golden - dev)
    return {f"q{n:03}": split for n, split in enumerate(order)}


def test_no_golden_query_is_learnt_from_or_tested_on() -> None:
    for dev in (0, MIN_HELD_OUT - 1, 60):
        given = splits(50, dev)
        learnt, tested = parted(given, space().qrels)
        assert all(given[key] is not Split.GOLDEN for key in learnt | tested)
        assert not learnt & tested
        assert len(tested) >= MIN_HELD_OUT


def test_queries_of_one_document_are_on_one_side() -> None:
    qrels = {f"q{n:03}": {f"d{n // 10}": 1, "x": 0} for n in range(COUNT)}
    learnt, tested = parted(splits(0, 0), qrels)
    assert len(learnt) + len(tested) == COUNT
    documents = [{next(iter(qrels[key])) for key in part} for part in (learnt, tested)]
    assert not documents[0] & documents[1]


def test_labels_that_teach_promise_a_gain_and_shuffled_ones_promise_less() -> None:
    taught = probe_labels(space(), splits(20, 60), at=(220,), most=1.0)
    assert taught is not None
    whole = space()
    wrong = np.random.default_rng(0).permutation(whole.document_ids).tolist()
    mixed = {key: {wrong[n]: 1} if n >= 80 else whole.qrels[key] for n, key in enumerate(whole.keys)}
    shuffled = probe_labels(
        Space(whole.keys, whole.queries, whole.document_ids, whole.passages, mixed),
        splits(20, 60),
        at=(220,),
        most=1.0,
    )
    assert shuffled is not None
    assert taught.expected[220].mean > 0.1 > shuffled.expected[220].mean


def test_without_queries_to_test_on_there_is_no_curve() -> None:
    given = {key: split for key, split in splits(280, 0).items() if split is Split.GOLDEN}
    assert probe_labels(space(), given, at=(0,), most=1.0) is None
