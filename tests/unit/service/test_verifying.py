"""How often a catalog that is away is asked for the last word."""

from __future__ import annotations

import itertools

import pytest

from embedloop.catalog import documents
from embedloop.catalog.database import Database
from embedloop.errors import Unavailable
from embedloop.records.documents import Hit
from service import verifying
from service.verifying import LAST_AWAY_SECONDS, Verifier
from tests.unit.service.conftest import passage


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(verifying, "time", clock)
    return clock


@pytest.fixture
def asked_at(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the catalog was asked; it does not answer."""
    asked: list[float] = []

    def away(*_: object) -> dict[str, int]:
        asked.append(clock.now)
        raise Unavailable("away")

    monkeypatch.setattr(documents, "look_up_live_revs", away)
    return asked


def ask_each_second(verifier: Verifier, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        assert verifier.live_revs([("c", [Hit(passage("d", 1, "text"), 0.5)])]) is None
        clock.now += 1.0


def test_a_catalog_that_stays_away_is_asked_ever_more_seldom(
    sqlite_url: str, clock: Clock, asked_at: list[float]
) -> None:
    ask_each_second(Verifier(Database(sqlite_url)), clock, 130)
    pauses = [later - sooner for sooner, later in itertools.pairwise(asked_at)]
    assert pauses[:5] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert set(pauses[5:]) == {LAST_AWAY_SECONDS}


def test_an_answer_makes_it_asked_at_once_again(
    sqlite_url: str, clock: Clock, asked_at: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = Verifier(Database(sqlite_url))
    ask_each_second(verifier, clock, 8)
    with monkeypatch.context() as back:
        back.setattr(documents, "look_up_live_revs", lambda *_: {"d": 1})
        clock.now += LAST_AWAY_SECONDS
        assert verifier.live_revs([("c", [Hit(passage("d", 1, "text"), 0.5)])]) == {"c": {"d": 1}}
    asked_at.clear()
    ask_each_second(verifier, clock, 2)
    assert len(asked_at) == 2
