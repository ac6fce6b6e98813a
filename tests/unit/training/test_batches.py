from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

import pytest

from embedloop.errors import TrainingFailed
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from training.batches import PlannedBatchSampler, ReplannedBatchSampler, columns_of, make_rows, plan_batches


def pair(key: str, positive: str, negatives: tuple[str, ...] = ()) -> TrainingPair:
    return TrainingPair(f"query {key}", positive, negatives, key, f"id {positive}", Split.TRAIN, ("f",))


def crowded_pairs(seed: int) -> list[TrainingPair]:
    """Few documents and queries, so that conflicts are everywhere."""
    generator = random.Random(seed)
    texts = [f"document {number} " + "x" * generator.randrange(40) for number in range(30)]
    return [
        pair(f"k{generator.randrange(60)}", generator.choice(texts), tuple(generator.sample(texts, 2)))
        for _ in range(200)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_batch_holds_a_false_negative_or_a_duplicate(seed: int) -> None:
    rows = make_rows(crowded_pairs(seed), hard_negatives=2, seed=seed)
    batches = plan_batches(rows, batch_size=8, seed=seed)
    assert any(len(batch) > 4 for batch in batches)
    for batch in batches:
        assert len(batch) <= 8
        for left, right in combinations((rows[index] for index in batch), 2):
            assert left.key != right.key
            assert left.positive != right.positive
            assert left.answers.isdisjoint(right.documents)
            assert right.answers.isdisjoint(left.documents)


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_share_a_batch_share_no_answer_but_their_positive(seed: int) -> None:
    rows = make_rows(crowded_pairs(seed), hard_negatives=2, seed=seed)
    shared = 0
    for batch in plan_batches(rows, batch_size=8, seed=seed, share=True):
        for left, right in combinations((rows[index] for index in batch), 2):
            common = {left.positive} if left.positive == right.positive else set()
            shared += len(common)
            assert left.key != right.key
            assert left.answers & set(right.documents) <= common
            assert right.answers & set(left.documents) <= common
            assert common.isdisjoint({*left.negatives, *right.negatives})
    assert shared > 10


def test_rows_of_one_document_come_together() -> None:
    rows = make_rows([pair(f"k{n}", f"text {n % 40:02}") for n in range(160)], 0, 0)
    batches = plan_batches(rows, 16, 0, share=True)
    assert [len({rows[index].positive for index in batch}) for batch in batches] == [4] * 10


def test_batch_of_one_document_alone_teaches_nothing_and_is_left_out() -> None:
    rows = make_rows([pair("a", "A"), pair("b", "A")], 0, 0)
    assert plan_batches(rows, 8, 0, share=True) == []


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_in_exactly_one_batch(seed: int, share: bool) -> None:
    rows = make_rows(crowded_pairs(seed), hard_negatives=2, seed=seed)
    planned = [index for batch in plan_batches(rows, 8, seed, share=share) for index in batch]
    assert sorted(planned) == list(range(len(rows)))


def test_batches_hold_documents_of_similar_length() -> None:
    rows = make_rows([pair(f"k{n}", "x" * (n % 50 + 1) + str(n)) for n in range(800)], 0, 0)
    batches = plan_batches(rows, 8, 0)
    spreads = [max(lengths) - min(lengths) for lengths in ([len(rows[i].positive) for i in b] for b in batches)]
    assert max(spreads) <= 4
    firsts = [len(rows[batch[0]].positive) for batch in batches]
    assert firsts != sorted(firsts)


def test_lengths_in_tokens_count_and_anchors_are_padded_little_too() -> None:
    generator = random.Random(3)
    rows = make_rows([pair(f"k{n}", f"text {n}") for n in range(640)], 0, 0)
    lengths = [(generator.randint(3, 20), generator.randint(8, 64)) for _ in rows]
    padded = {
        side: sum(len(batch) * max(lengths[index][side] for index in batch) for batch in batches)
        for side in (0, 1)
        for batches in [plan_batches(rows, 16, 0, lengths)]
    }
    assert padded[0] < 1.3 * sum(anchor for anchor, _ in lengths)
    assert padded[1] < 1.15 * sum(document for _, document in lengths)


def test_rows_without_negatives_are_filled_with_training_documents_that_are_no_answer() -> None:
    pairs = [pair("a", "A1"), pair("a", "A2"), pair("b", "B", ("mined",)), pair("c", "C")]
    rows = make_rows(pairs, hard_negatives=1, seed=0)
    assert rows[2].negatives == ("mined",)
    assert rows[0].negatives[0] in {"B", "C"}
    assert rows[3].negatives[0] in {"A1", "A2", "B"}


def test_mined_negative_that_answers_the_same_query_elsewhere_is_replaced() -> None:
    rows = make_rows([pair("a", "A1", ("A2",)), pair("a", "A2"), pair("b", "B")], 1, 0)
    assert rows[0].negatives == ("B",)


def test_no_mined_negatives_means_no_negative_columns() -> None:
    assert set(columns_of(make_rows([pair("a", "A"), pair("b", "B")], 3, 0))) == {"anchor", "positive"}


def test_columns_come_in_the_order_that_the_loss_reads() -> None:
    rows = make_rows([pair("a", "A", ("x", "y")), pair("b", "B", ("z", "x"))], 2, 0)
    assert columns_of(rows) == {
        "anchor": ["query a", "query b"],
        "positive": ["A", "B"],
        "negative_1": ["x", "z"],
        "negative_2": ["y", "x"],
    }


def test_same_seed_gives_the_same_rows_and_batches() -> None:
    pairs = crowded_pairs(1)
    first, again, other = (make_rows(pairs, 2, seed) for seed in (4, 4, 5))
    assert first == again
    assert plan_batches(first, 8, 4) == plan_batches(again, 8, 4)
    assert plan_batches(first, 8, 4) != plan_batches(other, 8, 5)


def test_epochs_differ_in_batch_order_only() -> None:
    sampler = PlannedBatchSampler([[0, 1], [2, 3], [4, 5], [6, 7]], seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second)
    assert first != second


def test_set_that_can_teach_nothing_is_refused() -> None:
    rows = make_rows([pair("a", "A"), pair("b", "A")], 0, 0)
    with pytest.raises(TrainingFailed, match="two different"):
        PlannedBatchSampler(plan_batches(rows, 8, 0), seed=0)


def test_near_duplicates_never_meet_in_a_batch() -> None:
    pairs = [replace(pair(f"k{n}", f"document {n}"), cluster=f"c{n % 10}") for n in range(80)]
    rows = make_rows(pairs, 0, 0)
    batches = plan_batches(rows, 8, 0)
    assert sum(map(len, batches)) == 80
    for batch in batches:
        clusters = [rows[index].cluster for index in batch]
        assert len(clusters) == len(set(clusters))


def test_near_duplicate_of_an_answer_is_no_negative() -> None:
    twins = [replace(pair("a", "A", ("A2",)), cluster="c"), replace(pair("b", "A2"), cluster="c")]
    rows = make_rows([*twins, pair("d", "D")], 1, 0)
    assert [row.negatives for row in rows[:2]] == [("D",), ("D",)]


def test_texts_come_once_an_epoch_with_others_of_like_length_and_in_new_company() -> None:
    lengths = [3, 90, 4, 80, 5, 70, 6, 60] * 8
    sampler = ReplannedBatchSampler(lengths, 4, seed=1)
    epochs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        epochs.append([sorted(batch) for batch in sampler])
        assert sorted(row for batch in epochs[-1] for row in batch) == list(range(64))
        assert len(epochs[-1]) == len(sampler) == 16
    company = [{tuple(batch) for batch in batches} for batches in epochs]
    assert not company[0] & company[1]
    within = [max(lengths[row] for row in batch) - min(lengths[row] for row in batch) for batch in epochs[0]]
    assert sum(within) / len(within) < (max(lengths) - min(lengths)) / 2


def test_epoch_is_planned_alike_whenever_it_is_asked_for() -> None:
    first, again = (ReplannedBatchSampler([5, 4, 3, 2, 1] * 4, 2, seed=3) for _ in range(2))
    for sampler in (first, again):
        sampler.set_epoch(4)
    assert list(first) == list(again)


def test_no_text_at_all_is_refused() -> None:
    with pytest.raises(TrainingFailed, match="at least one text"):
        ReplannedBatchSampler([], 4, seed=1)
