from __future__ import annotations

import math

import numpy as np
import pytest

from embedloop.errors import InvalidInput
from training.evaluation import bootstrap_interval, paired_bootstrap, rank_by_cosine, score_run


def test_metrics_follow_their_definitions() -> None:
    run = {"q1": ["x", "a", "y", "b"], "q2": [f"n{number}" for number in range(9)] + ["c"]}
    scores = score_run(run, {"q1": {"a": 1, "b": 1}, "q2": {"c": 1}})
    ideal = 1 + 1 / math.log2(3)
    assert scores.per_query["ndcg@10"]["q1"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert scores.per_query["ndcg@10"]["q2"] == pytest.approx(1 / math.log2(11))
    assert scores.per_query["recall@10"] == {"q1": 1.0, "q2": 1.0}
    assert scores.per_query["precision@5"] == {"q1": 0.4, "q2": 0.0}
    assert scores.per_query["mrr@10"] == pytest.approx({"q1": 0.5, "q2": 0.1})
    assert scores.per_query["hit@1"] == {"q1": 0.0, "q2": 0.0}
    assert scores.per_query["hit@5"] == {"q1": 1.0, "q2": 0.0}
    assert scores.mean["hit@5"] == 0.5


def test_query_without_an_answer_scores_zero_and_one_without_relevant_documents_is_left_out() -> None:
    scores = score_run({"q1": ["a"], "q3": ["a"]}, {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 0}})
    assert scores.queries == ("q1", "q2")
    assert scores.mean["hit@1"] == 0.5


def test_judged_irrelevant_document_earns_nothing() -> None:
    assert score_run({"q": ["bad", "good"]}, {"q": {"bad": 0, "good": 1}}).mean["hit@1"] == 0.0


def test_scoring_without_judgments_is_refused() -> None:
    with pytest.raises(InvalidInput, match="relevant"):
        score_run({}, {"q": {"a": 0}})


def test_bootstrap_interval_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.1, size=400).tolist()
    interval = bootstrap_interval(values)
    margin = 1.96 * np.std(values) / math.sqrt(len(values))
    assert interval.mean == pytest.approx(np.mean(values))
    assert interval.low == pytest.approx(interval.mean - margin, abs=0.002)
    assert interval.high == pytest.approx(interval.mean + margin, abs=0.002)


def test_same_seed_gives_the_same_interval_and_more_confidence_a_wider_one() -> None:
    values = [0.0, 0.2, 0.9, 0.4, 1.0, 0.3]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    wide, narrow = bootstrap_interval(values, 0.99), bootstrap_interval(values, 0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_pairing_finds_a_gain_that_is_small_beside_the_spread_of_queries() -> None:
    generator = np.random.default_rng(2)
    before = {f"q{number}": float(value) for number, value in enumerate(generator.uniform(0, 0.9, 200))}
    after = {query: value + float(generator.uniform(0.0, 0.04)) for query, value in before.items()}
    paired = paired_bootstrap(before, after)
    assert 0.015 < paired.low < paired.high < 0.025
    assert bootstrap_interval(list(after.values())).low < bootstrap_interval(list(before.values())).high


def test_paired_bootstrap_refuses_different_queries() -> None:
    with pytest.raises(InvalidInput, match="same queries"):
        paired_bootstrap({"a": 0.1}, {"b": 0.1})


def test_interval_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        bootstrap_interval([])


def test_documents_rank_by_their_nearest_passage_and_appear_once() -> None:
    passages = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    ranked = rank_by_cosine(np.array([[1, 0], [0, 1]], dtype=np.float32), passages, ["b", "b", "a", "c"], k=2)
    assert ranked == [["b", "a"], ["b", "a"]]


def test_ranking_agrees_with_a_plain_loop() -> None:
    generator = np.random.default_rng(5)
    queries, passages = (generator.normal(size=(size, 8)).astype(np.float32) for size in (300, 70))
    ids = [f"d{number % 23}" for number in range(70)]
    for row, query in zip(rank_by_cosine(queries, passages, ids, 5), queries, strict=True):
        best: dict[str, float] = {}
        for name, passage in zip(ids, passages, strict=True):
            best[name] = max(best.get(name, -9.0), float(query @ passage))
        assert row == sorted(best, key=lambda name: (-best[name], name))[:5]


def test_equal_cosines_are_ordered_by_id() -> None:
    same = np.array([[1, 0], [1, 0]], dtype=np.float32)
    assert rank_by_cosine(same[:1], same, ["z", "a"], 2) == [["a", "z"]]


def test_no_passages_rank_nothing() -> None:
    queries = np.ones((2, 4), dtype=np.float32)
    assert rank_by_cosine(queries, np.empty((0, 4), dtype=np.float32), [], 3) == [[], []]


def test_wrong_number_of_ids_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one id per passage"):
        rank_by_cosine(np.ones((1, 2), dtype=np.float32), np.ones((2, 2), dtype=np.float32), ["a"], 1)
