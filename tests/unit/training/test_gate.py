from __future__ import annotations

import json

import pytest

from embedloop.errors import InvalidInput
from embedloop.policy import GateSettings
from training.evaluation import Scores, score_run
from training.gate import General, decide, gate_pool


def scores(ranks: list[int]) -> Scores:
    """One query per entry, its relevant document at that rank."""
    run = {f"q{n:03}": [*[f"x{i}" for i in range(rank - 1)], "a"] for n, rank in enumerate(ranks)}
    return score_run(run, {query: {"a": 1} for query in run})


def test_clear_gain_passes_with_its_numbers() -> None:
    decision = decide(GateSettings(), scores([5] * 60), scores([1, 2] * 30))
    assert decision.passed
    assert decision.metrics["uplift"]["ndcg@10"]["low"] > 0.3
    assert decision.metrics["serving"]["mrr@10"] == pytest.approx(0.2)
    assert set(decision.metrics["uplift"]) == {
        "ndcg@10",
        "recall@10",
        "precision@5",
        "mrr@10",
        "hit@1",
        "hit@5",
    }
    assert (decision.metrics["queries"], decision.metrics["general"]) == (60, None)
    assert any("no general set" in reason for reason in decision.reasons)
    assert json.loads(json.dumps(decision.metrics)) == decision.metrics


def test_gain_within_chance_is_refused() -> None:
    decision = decide(GateSettings(), scores([2] * 40), scores([1] * 3 + [3] * 2 + [2] * 35))
    assert decision.metrics["uplift"]["ndcg@10"]["mean"] > 0
    assert not decision.passed
    assert "must be above min_uplift" in decision.reasons[0]


def test_identical_candidate_is_refused() -> None:
    assert not decide(GateSettings(), scores([2] * 40), scores([2] * 40)).passed


def test_worse_candidate_is_refused_even_if_other_metrics_gain() -> None:
    settings = GateSettings(metric="hit@1")
    serving, candidate = scores([1, 9] * 30), scores([2, 2] * 30)
    decision = decide(settings, serving, candidate)
    assert decision.metrics["uplift"]["hit@5"]["low"] > 0
    assert not decision.passed


def test_gain_below_the_wanted_uplift_is_refused() -> None:
    serving, candidate = scores([2] * 40), scores([1] * 8 + [2] * 32)
    assert decide(GateSettings(), serving, candidate).passed
    assert not decide(GateSettings(min_uplift=0.2), serving, candidate).passed


def test_too_few_golden_queries_are_refused_by_number() -> None:
    decision = decide(GateSettings(min_queries=30), scores([5] * 29), scores([1] * 29))
    assert not decision.passed
    assert "golden queries must be at least 30, got 29" in decision.reasons


def test_runs_over_different_queries_cannot_be_compared() -> None:
    with pytest.raises(InvalidInput, match="same queries"):
        decide(GateSettings(), scores([1] * 30), scores([1] * 31))


def test_pool_holds_all_relevant_and_random_others() -> None:
    everything = [f"d{number}" for number in range(100)]
    pool = gate_pool(["d7", "d3", "gone"], everything, size=20, seed=1)
    assert len(pool) == len(set(pool)) == 20
    assert {"d3", "d7"} <= set(pool) <= set(everything)
    assert pool == gate_pool(["d3", "d7"], everything[::-1], size=20, seed=1)
    assert pool != gate_pool(["d3", "d7"], everything, size=20, seed=2)


def test_pool_keeps_every_relevant_document_beyond_its_size() -> None:
    everything = [f"d{number}" for number in range(50)]
    assert len(gate_pool(everything[:30], everything, size=10, seed=1)) == 30


def test_pool_of_a_small_corpus_is_the_corpus() -> None:
    assert gate_pool(["a"], ["b", "a"], size=2000, seed=1) == ["a", "b"]


def test_candidate_that_forgot_too_much_is_refused_with_its_numbers() -> None:
    general = General(scores([1] * 50), scores([1] * 45 + [2] * 5))
    decision = decide(GateSettings(max_general_drop=0.01), scores([5] * 60), scores([1] * 60), general)
    assert not decision.passed
    assert decision.metrics["general"]["change"]["mean"] == pytest.approx(-0.0369, abs=1e-4)
    assert (decision.metrics["general"]["queries"], decision.metrics["general"]["max_drop"]) == (50, 0.01)
    assert any("must be at most max_general_drop 0.0100" in reason for reason in decision.reasons)
    assert json.loads(json.dumps(decision.metrics)) == decision.metrics


def test_candidate_that_forgot_little_enough_passes() -> None:
    general = General(scores([1] * 50), scores([1] * 45 + [2] * 5))
    decision = decide(GateSettings(max_general_drop=0.04), scores([5] * 60), scores([1] * 60), general)
    assert decision.passed
    assert not any("no general set" in reason for reason in decision.reasons)


def test_nothing_forgotten_passes_where_nothing_may_be() -> None:
    general = General(scores([1, 3] * 25), scores([3, 1] * 25))
    assert decide(GateSettings(max_general_drop=0.0), scores([5] * 60), scores([1] * 60), general).passed
