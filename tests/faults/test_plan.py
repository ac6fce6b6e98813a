"""Plans: exactly as long as asked for, and the same for the same seed."""

from __future__ import annotations

import pytest

from tests.faults.plan import PARTS, STORES, Kill, Round, counted, plan

EVERY = (*PARTS, *STORES)


def made(seed: int, steps: int = 300, kills: int = 22) -> list[Round]:
    return plan(seed, steps, kills, round_steps=20, parts=EVERY)


def test_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert made(5) == made(5)
    assert made(5) != made(6)


@pytest.mark.parametrize(("steps", "kills"), [(300, 22), (60, 3), (45, 0)])
def test_plan_has_exactly_the_steps_and_kills_asked_for(steps: int, kills: int) -> None:
    rounds = made(1, steps, kills)
    assert sum(len(one.steps) for one in rounds) == steps
    assert counted(rounds).get("kill", 0) == kills


def test_every_part_is_killed_equally_often() -> None:
    kills = [step.part for one in made(2) for step in one.steps if isinstance(step, Kill)]
    assert sorted(kills) == sorted(2 * EVERY)


def test_long_plan_has_every_kind_of_step() -> None:
    assert set(counted(made(3))) == {
        *("put", "repeat", "delete", "bulk", "read", "search", "judge"),
        *("reembed", "promote", "rollback", "kill", "zombie"),
    }
