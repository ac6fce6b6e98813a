from __future__ import annotations

from typing import Any

import pytest

from embedloop.demo.aims import failures
from embedloop.demo.metrics import compare
from embedloop.demo.plan import DemoPlan
from embedloop.demo.swap_probe import Verdict

PASSED: dict[str, Any] = {"verdict": "passed", "reasons": []}
CYCLE: dict[str, Any] = {
    "state": "succeeded",
    "error": None,
    "result": {"gate": PASSED, "promoted": True},
}
CLEAN = Verdict(100, 0, 0, 50, {}, ())
BETTER = compare([None] * 20 + [1] * 80, [1] * 100, seed=1)
SAME = compare([1, None] * 50, [1, None] * 50, seed=1)
PLAN = DemoPlan.of(6000, False, False)


def test_nothing_failed_when_everything_was_shown() -> None:
    assert failures(PLAN, CYCLE, CLEAN, BETTER) == []


def test_gain_within_chance_and_below_the_aim_is_told() -> None:
    found = failures(PLAN, CYCLE, CLEAN, SAME)
    assert any("beyond chance" in reason for reason in found)
    assert any("at least +0.060, got +0.0000" in reason for reason in found)


def test_small_demo_need_not_gain() -> None:
    assert failures(DemoPlan.of(300, False, False), CYCLE, CLEAN, SAME) == []


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict(100, 2, 0, 50, {}, ("why",)), "2 of 100 did"),
        (Verdict(100, 0, 3, 50, {}, ("why",)), "no answer may mix two versions, 3 of 100 did"),
    ],
)
def test_failed_or_mixed_searches_are_told_with_a_reason(verdict: Verdict, told: str) -> None:
    found = failures(DemoPlan.of(300, False, False), CYCLE, verdict, SAME)
    assert told in found[0]
    assert found[1] == "why"


def test_gate_that_failed_is_told_with_its_reasons() -> None:
    gate = {"verdict": "failed", "reasons": ["ndcg@10 fell"]}
    cycle = {"state": "rejected", "error": None, "result": {"gate": gate, "promoted": False}}
    found = failures(PLAN, cycle, CLEAN, BETTER)
    assert "ndcg@10 fell" in found[0]
    assert "must be promoted" in found[1]


def test_job_that_failed_is_told_with_its_error() -> None:
    cycle = {"state": "failed", "error": {"code": "training_failed", "message": "no loss"}, "result": None}
    assert "it failed: no loss" in failures(PLAN, cycle, CLEAN, BETTER)[0]
