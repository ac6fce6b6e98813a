"""A write that was told to be applied is seen by the next search, whichever index version answers it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from embedloop.applier import View
from embedloop.catalog import promotions
from embedloop.corpus import Written
from embedloop.errors import DeadlineExceeded
from embedloop.records.versions import ModelVersion
from embedloop.reembed import retire
from embedloop.settings import Settings
from service import waiting
from tests.integration.conftest import World
from tests.patience import PATIENCE_SECONDS

# Long enough for several looks, were there nothing to wait for.
STILL_SECONDS = 0.5


@pytest.fixture
def service(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.1)
    return SimpleNamespace(database=world.database, index=world.index, settings=Settings(data_dir=tmp_path))


@contextmanager
def waiter(service: Any, world: World, written: Sequence[Written]) -> Iterator[threading.Event]:
    """Waits for the writes beside the test; set when it was told that they are applied."""
    done = threading.Event()

    def wait() -> None:
        waiting._wait(service, world.name, written)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    yield done
    thread.join(timeout=PATIENCE_SECONDS)
    assert done.is_set()


@pytest.fixture
def older(world: World, tiny: ModelVersion) -> View:
    return world.serve(tiny)


@pytest.fixture
def newer(world: World, older: View, other_tiny: ModelVersion) -> View:
    """Ready, and allowed to take over."""
    view = world.build(other_tiny)
    world.pass_gate(other_tiny)
    return view


def test_write_is_not_applied_before_the_version_that_took_over_meanwhile_has_it(
    service: Any, world: World, older: View, newer: View
) -> None:
    with waiter(service, world, world.put({"new": "fever"})) as done:
        assert not done.wait(STILL_SECONDS)
        world.promote(newer)
        world.apply(older)
        assert not done.wait(STILL_SECONDS)
        world.apply(newer)


def test_write_is_not_applied_before_the_version_that_a_replica_still_serves_has_it(
    service: Any, world: World, older: View, newer: View
) -> None:
    world.promote(newer)
    with world.database.write() as connection:
        identity = older.version.index_version_id
        promotions.hold(connection, "r-late", world.name, serving=identity, prepared=None, lease_seconds=60)
    with waiter(service, world, world.put({"new": "fever"})) as done:
        world.apply(newer)
        assert not done.wait(STILL_SECONDS)
        world.apply(older)


def test_version_that_is_retired_is_waited_for_no_longer(
    service: Any, world: World, older: View, newer: View
) -> None:
    with waiter(service, world, world.put({"new": "fever"})) as done:
        world.promote(newer)
        assert not done.wait(STILL_SECONDS)
        with world.database.write() as connection:
            retire(connection, older.version.index_version_id)
        world.apply(newer)


def test_applier_that_does_not_come_is_told_at_the_deadline(
    service: Any, world: World, older: View, tmp_path: Path
) -> None:
    service.settings = Settings(data_dir=tmp_path, wait_applied_timeout_seconds=0.3)
    with pytest.raises(DeadlineExceeded, match="stored"):
        waiting._wait(service, world.name, world.put({"new": "fever"}))
