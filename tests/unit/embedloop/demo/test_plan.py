from __future__ import annotations

import pytest

from embedloop.demo.plan import DemoPlan
from embedloop.errors import InvalidInput
from embedloop.policy import Policy


@pytest.mark.parametrize("terms", [100, 300, 2000, 6000])
@pytest.mark.parametrize("labels", [False, True])
def test_policy_is_one_that_the_service_takes(terms: int, labels: bool) -> None:
    policy = Policy.model_validate(DemoPlan.of(terms, False, labels).policy)
    assert policy.trigger.new_feedback is None
    assert policy.splits.golden == 0


def test_small_demo_leaves_the_gate_open_and_aims_at_nothing() -> None:
    plan = DemoPlan.of(300, False, False)
    assert not plan.proves_uplift
    assert plan.aims == {}
    assert plan.policy["gate"]["min_uplift"] == -1.0


def test_default_demo_must_gain_six_points_of_hit_at_5() -> None:
    plan = DemoPlan.of(6000, False, False)
    assert plan.proves_uplift
    assert plan.aims == {"hit@5": 0.06}
    assert plan.policy["gate"]["min_uplift"] == 0.0


def test_labels_at_6000_terms_must_gain_what_plain_training_gained() -> None:
    assert DemoPlan.of(6000, False, True).aims == {"hit@5": 0.119, "ndcg@10": 0.108}
    assert DemoPlan.of(5000, False, True).aims == {}


def test_full_takes_all_terms_whatever_their_number() -> None:
    assert DemoPlan.of(1, True, False).terms is None


def test_too_few_terms_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="terms must be at least 100, got 99") as caught:
        DemoPlan.of(99, False, False)
    assert caught.value.field == "terms"
