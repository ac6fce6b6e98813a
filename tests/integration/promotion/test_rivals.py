"""Two processes that promote at once: in every round one wins, and the other is told why."""

from __future__ import annotations

import threading
from typing import Any

from embedloop.catalog import promotions
from embedloop.records.versions import ModelVersion
from tests.integration.conftest import World, preparing
from tests.integration.promotion.conftest import StartPromoter
from tests.integration.promotion.promoter import Promoter
from tests.patience import PATIENCE_SECONDS, eventually

ROUNDS = 15


def test_of_two_processes_that_promote_at_once_one_wins_every_round(
    world: World, start_promoter: StartPromoter, tiny: ModelVersion
) -> None:
    rivals = [start_promoter(), start_promoter()]
    versions = [world.serve(tiny).version.index_version_id]
    versions += [world.build(tiny).version.index_version_id for _ in rivals]
    for rival in rivals:
        rival.wait_ready()
    for _ in range(ROUNDS):
        serving = world.corpus().serving
        # Heard, and moved by the test alone: while it has not acknowledged, neither can win unseen.
        hold(world, serving, None)
        candidates = [version for version in versions if version != serving]
        together(rivals, candidates)
        told: dict[str, dict[str, Any]] = {}
        listeners = [listen(rival, name, told) for rival, name in zip(rivals, candidates, strict=True)]
        eventually(lambda told=told: len(told) == 1, "one is refused")  # type: ignore[misc]
        winner = preparing(world)
        assert winner in candidates
        (loser,) = told
        assert loser != winner
        hold(world, serving, winner)
        eventually(lambda winner=winner: world.corpus().serving == winner, "it is published")  # type: ignore[misc]
        hold(world, winner, None)
        for listener in listeners:
            listener.join(timeout=PATIENCE_SECONDS)
        assert told[str(winner)]["promoted"], told
        assert told[loser]["code"] == "conflict"
        assert str(winner) in told[loser]["message"]
        assert world.corpus().serving == winner
        assert world.corpus().previous == serving


def test_two_that_want_the_same_version_end_with_it_in_charge_once(
    world: World, start_promoter: StartPromoter, tiny: ModelVersion
) -> None:
    rivals = [start_promoter(), start_promoter()]
    versions = [view.version.index_version_id for view in (world.serve(tiny), world.build(tiny))]
    for rival in rivals:
        rival.wait_ready()
    for _ in range(ROUNDS):
        serving = world.corpus().serving
        (candidate,) = [version for version in versions if version != serving]
        for rival in rivals:
            rival.ask(candidate)
        told = [rival.outcome() for rival in rivals]
        assert sorted(one["promoted"] for one in told) == [False, True]
        (refused,) = [one for one in told if not one["promoted"]]
        assert refused["code"] == "conflict"
        assert candidate in refused["message"]
        assert (world.corpus().serving, world.corpus().previous) == (candidate, serving)


def together(rivals: list[Promoter], candidates: list[str]) -> None:
    for rival, candidate in zip(rivals, candidates, strict=True):
        rival.ask(candidate)


def listen(rival: Promoter, candidate: str, told: dict[str, dict[str, Any]]) -> threading.Thread:
    def run() -> None:
        told[candidate] = rival.outcome()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def hold(world: World, serving: str | None, prepared: str | None) -> None:
    with world.database.write() as connection:
        promotions.hold(connection, "r-1", world.name, serving=serving, prepared=prepared, lease_seconds=300)
