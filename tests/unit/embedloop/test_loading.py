"""Loads beside the thread that asks: once each, however often they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from embedloop.loading import Loader


@pytest.fixture
def loader() -> Iterator[Loader[str]]:
    made: Loader[str] = Loader(threads=2)
    yield made
    made.close()


def counted(calls: list[str], name: str, until: threading.Event | None = None) -> Callable[[], str]:
    def load() -> str:
        calls.append(name)
        if until is not None:
            assert until.wait(30)
        return name

    return load


def test_load_under_way_is_not_begun_again(loader: Loader[str]) -> None:
    calls: list[str] = []
    until = threading.Event()
    first = loader.ask("a", counted(calls, "a", until))
    assert loader.ask("a", counted(calls, "a")) is first
    until.set()
    assert first.result(30) == "a"
    assert loader.ask("a", counted(calls, "a")) is first
    assert calls == ["a"]


def test_load_that_failed_is_tried_anew_once_it_is_forgotten(loader: Loader[str]) -> None:
    def fail() -> str:
        raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        loader.ask("a", fail).result(30)
    loader.forget("a")
    assert loader.ask("a", lambda: "a").result(30) == "a"


def test_slow_load_holds_up_no_other(loader: Loader[str]) -> None:
    until = threading.Event()
    slow = loader.ask("slow", counted([], "slow", until))
    assert loader.ask("quick", lambda: "quick").result(30) == "quick"
    assert not slow.done()
    until.set()
    assert slow.result(30) == "slow"


def test_what_nobody_wants_any_more_is_forgotten_and_not_begun(loader: Loader[str]) -> None:
    until = threading.Event()
    calls: list[str] = []
    for name in ("a", "b", "c"):
        loader.ask(name, counted(calls, name, until))
    loader.keep({"a"})
    assert not loader.idle
    loader.keep(set())
    assert loader.idle
    until.set()
    loader.close()
    assert "c" not in calls
