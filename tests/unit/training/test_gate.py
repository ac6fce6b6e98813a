from __future__ import annotations

import json

import pytest

from embedloop.errors import InvalidInput
from embedloop.policy import GateSettings
from training.evaluation import Scores, score_run
from training.gate import Cost, General, decide, gate_pool


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


def test_gate_says_when_no_person_judged_its_queries() -> None:
    weak = decide(GateSettings(), scores([5] * 60), scores([1, 2] * 30), evidence="held_out_structure")
    assert weak.passed
    assert weak.metrics["evidence"] == "held_out_structure"
    assert "measured on 60 queries of documents held out: weak evidence" in weak.reasons
    few = decide(GateSettings(), scores([5] * 6), scores([1] * 6), evidence="held_out_structure")
    assert "queries of documents held out must be at least 30, got 6" in few.reasons
    assert decide(GateSettings(), scores([5] * 60), scores([1] * 60)).metrics["evidence"] == "golden"


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


def sliced(parts: dict[str, range], before: Scores) -> dict[str, dict[str, frozenset[str]]]:
    return {"topic": {name: frozenset(before.queries[n] for n in part) for name, part in parts.items()}}


def test_slice_that_falls_beyond_chance_refuses_a_candidate_that_gains_on_the_whole() -> None:
    before, after = scores([5] * 60 + [1] * 20), scores([1] * 60 + [2] * 20)
    slices = sliced({"old": range(60), "lost": range(60, 80)}, before)
    decision = decide(GateSettings(max_slice_drop=0.05), before, after, slices=slices)
    assert decision.metrics["uplift"]["ndcg@10"]["low"] > 0
    assert not decision.passed
    (lost,) = [one for one in decision.metrics["slices"] if one["worse"]]
    assert (lost["facet"], lost["value"], lost["queries"]) == ("topic", "lost", 20)
    assert any("topic 'lost' (20 queries) -0.3691" in reason for reason in decision.reasons)
    assert json.loads(json.dumps(decision.metrics)) == decision.metrics


def test_slice_may_fall_by_what_the_policy_allows_or_where_it_is_told_only() -> None:
    before, after = scores([5] * 60 + [1] * 20), scores([1] * 60 + [2] * 20)
    slices = sliced({"old": range(60), "lost": range(60, 80)}, before)
    for allowed in (0.4, None):
        decision = decide(GateSettings(max_slice_drop=allowed), before, after, slices=slices)
        assert decision.passed
        assert len(decision.metrics["slices"]) == 2


def test_slice_that_is_too_small_or_falls_by_chance_refuses_nothing() -> None:
    before, after = scores([5] * 60 + [1] * 10), scores([1] * 60 + [2] * 10)
    small = sliced({"small": range(60, 70)}, before)
    assert decide(GateSettings(min_slice_queries=11), before, after, slices=small).passed
    assert not decide(GateSettings(min_slice_queries=10), before, after, slices=small).passed
    by_chance = scores([5] * 60 + [2] * 10), scores([1] * 60 + [1] * 2 + [9] * 4 + [2] * 4)
    unsure = sliced({"small": range(60, 70)}, by_chance[0])
    decision = decide(GateSettings(min_slice_queries=5), *by_chance, slices=unsure)
    assert decision.metrics["slices"][0]["change"]["mean"] < -0.05
    assert decision.passed


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ({"max_query_ms": 12.0}, True),
        ({"max_query_ms": 11.9}, False),
        ({"max_model_mb": 89.0}, False),
        ({"max_query_ms": 20, "max_model_mb": 90.0}, True),
    ],
)
def test_candidate_that_costs_more_than_allowed_is_refused(limits: dict[str, float], passes: bool) -> None:
    cost = Cost(query_ms=12.0, model_mb=90.0)
    decision = decide(GateSettings.model_validate(limits), scores([5] * 60), scores([1] * 60), cost=cost)
    assert decision.passed is passes
    assert decision.metrics["cost"] == {"query_ms": 12.0, "model_mb": 90.0}
    assert any(name in reason for name in limits for reason in decision.reasons)


def test_limit_without_a_measured_cost_is_no_pass() -> None:
    with pytest.raises(InvalidInput, match="max_query_ms"):
        decide(GateSettings(max_query_ms=10), scores([5] * 60), scores([1] * 60))
