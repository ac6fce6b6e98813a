from __future__ import annotations

import json

import pytest

from embedloop.errors import InvalidInput
from tests.unit.training.test_gate import scores
from training.evaluation import score_run
from training.systems import compare_systems, slice_table


def test_the_asked_system_is_compared_with_every_other_one() -> None:
    table = compare_systems({"model": scores([1] * 40), "bm25": scores([3] * 40)}, "model")
    assert "uplift" not in table["model"]
    gained = table["bm25"]["uplift"]["mrr@10"]
    assert gained["mean"] == pytest.approx(2 / 3)
    assert gained["p"] < 0.01
    assert json.loads(json.dumps(table)) == table


def test_a_system_gains_nothing_over_its_equal_and_says_so() -> None:
    table = compare_systems({"model": scores([2, 1]), "base": scores([2, 1])}, "model")
    assert table["base"]["uplift"]["ndcg@10"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_a_gain_on_few_queries_may_be_chance() -> None:
    table = compare_systems({"model": scores([1, 1, 2]), "base": scores([2, 2, 1])}, "model")
    assert table["base"]["uplift"]["ndcg@10"]["p"] > 0.2


def test_systems_over_different_queries_are_not_compared() -> None:
    with pytest.raises(InvalidInput, match="same queries"):
        compare_systems({"model": scores([1]), "base": scores([1, 1])}, "model")
    with pytest.raises(InvalidInput, match="no system 'x'"):
        compare_systems({"model": scores([1])}, "x")


def test_slices_show_what_the_mean_hides() -> None:
    before, after = scores([2] * 20 + [2] * 5), scores([1] * 20 + [9] * 5)
    members = {"head": frozenset(before.queries[:20]), "tail": frozenset(before.queries[20:])}
    rows = slice_table(
        {"base": before, "model": after}, "mrr@10", {"frequency": {**members, "gone": frozenset("x")}}
    )
    assert [(row["value"], row["queries"]) for row in rows] == [("head", 20), ("tail", 5)]
    assert rows[0]["mrr@10"]["model"] > rows[0]["mrr@10"]["base"]
    assert rows[1]["mrr@10"] == pytest.approx({"base": 0.5, "model": 1 / 9})


def test_metrics_are_told_at_the_ranks_asked_for() -> None:
    run, qrels = {"q": ["x", "a", "b"]}, {"q": {"a": 1, "b": 1}}
    found = score_run(run, qrels, ("map@3", "precision@2", "recall@2", "map@1"))
    assert found.mean == pytest.approx(
        {"map@3": (1 / 2 + 2 / 3) / 2, "precision@2": 0.5, "recall@2": 0.5, "map@1": 0}
    )


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "ndcg@-1", "f1@3", "", "ndcg@x"])
def test_a_metric_that_is_not_known_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="a metric is one of"):
        score_run({}, {"q": {"a": 1}}, (name,))
