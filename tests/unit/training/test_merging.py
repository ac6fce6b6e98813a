from __future__ import annotations

import pytest
import torch

from embedloop.errors import InvalidInput
from training.merging import SweepPoint, choose_alpha, interpolate


def points(*measured: tuple[float, float | None, float | None]) -> list[SweepPoint]:
    return [SweepPoint(*one) for one in measured]


def test_best_on_dev_among_those_that_forget_little_enough_is_chosen() -> None:
    measured = points((0, 0.5, 0.60), (0.25, 0.6, 0.60), (0.5, 0.7, 0.595), (0.75, 0.8, 0.58), (1, 0.9, 0.5))
    assert choose_alpha(measured, 0.01).alpha == 0.5
    assert choose_alpha(measured, 0.0).alpha == 0.25
    assert choose_alpha(measured, 1.0).alpha == 1


def test_what_was_learnt_of_the_general_kind_does_not_pay_for_what_is_forgotten() -> None:
    measured = points((0, 0.5, 0.50), (0.25, 0.6, 0.54), (0.5, 0.7, 0.532), (1, 0.9, 0.51))
    assert choose_alpha(measured, 0.01).alpha == 0.5


def test_of_equals_on_dev_the_one_that_forgets_less_wins_and_then_the_one_near_the_base() -> None:
    assert choose_alpha(points((0, 0.5, 0.6), (0.5, 0.7, 0.60), (1, 0.7, 0.61)), 0.01).alpha == 1
    assert choose_alpha(points((0, 0.5, 0.6), (0.5, 0.7, 0.60), (1, 0.7, 0.60)), 0.01).alpha == 0.5


def test_where_all_forget_too_much_the_least_forgetful_is_chosen_and_told() -> None:
    chosen = choose_alpha(points((0, 0.5, 0.6), (0.5, 0.7, 0.5), (1, 0.8, 0.4)), 0.01)
    assert chosen.alpha == 0.5
    assert "loses more than 0.01" in chosen.reason


def test_base_is_never_chosen_even_if_it_is_the_best() -> None:
    assert choose_alpha(points((0, 0.9, 0.6), (0.5, 0.7, 0.6), (1, 0.6, 0.6)), 0.01).alpha == 0.5


def test_without_a_dev_set_the_largest_allowed_share_is_taken() -> None:
    assert choose_alpha(points((0, None, 0.6), (0.5, None, 0.6), (1, None, 0.5)), 0.01).alpha == 0.5


def test_without_a_general_set_dev_alone_decides() -> None:
    assert choose_alpha(points((0, 0.5, None), (0.5, 0.8, None), (1, 0.7, None)), 0.01).alpha == 0.5


@pytest.mark.parametrize("alphas", [(), (0,), (0.5, 1)])
def test_sweep_without_base_or_mixture_is_refused(alphas: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="alpha 0"):
        choose_alpha([SweepPoint(alpha, 0.5, 0.5) for alpha in alphas], 0.01)


def test_weights_are_interpolated_and_counters_are_the_tuned_models() -> None:
    base = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor([1, 2])}
    tuned = {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor([3, 4])}
    mixed = interpolate(base, tuned, 0.25)
    assert mixed["w"].tolist() == [0.25, 2.5]
    assert mixed["n"].tolist() == [3, 4]
    assert interpolate(base, tuned, 0.0)["w"].tolist() == [0.0, 2.0]
    assert interpolate(base, tuned, 1.0)["w"].tolist() == [1.0, 4.0]


def test_models_of_other_shapes_cannot_be_merged() -> None:
    with pytest.raises(InvalidInput, match="1 differ: \\['w'\\]"):
        interpolate({"w": torch.zeros(2)}, {"w": torch.zeros(3)}, 0.5)
