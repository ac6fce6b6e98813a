"""Shards: claimed with a lease, given back, sent again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from embedloop.catalog import shards
from embedloop.catalog.database import Database
from embedloop.catalog.shards import ShardCounts
from embedloop.errors import LeaseLost
from embedloop.records.versions import IndexVersion

RESEND = 300.0


@pytest.fixture
def two_shards(catalog: Database, add_version: Callable[..., IndexVersion]) -> list[int]:
    add_version("one")
    with catalog.write() as connection:
        shards.add(connection, "one", "j-1", [("a", "f"), ("g", "z")])
        return shards.take_unsent(connection, "one", RESEND)


def test_shards_are_sent_once_while_they_are_fresh(catalog: Database, two_shards: list[int]) -> None:
    assert len(two_shards) == 2
    with catalog.write() as connection:
        assert shards.take_unsent(connection, "one", RESEND) == []
        assert shards.take_unsent(connection, "one", -1) == two_shards


def test_shard_that_the_broker_did_not_take_is_sent_at_the_next_look(
    catalog: Database, two_shards: list[int]
) -> None:
    with catalog.write() as connection:
        shards.put_back_unsent(connection, two_shards[1:])
        assert shards.take_unsent(connection, "one", RESEND) == two_shards[1:]


def test_a_version_without_documents_has_no_shards(
    catalog: Database, add_version: Callable[..., IndexVersion]
) -> None:
    add_version("one")
    with catalog.write() as connection:
        shards.add(connection, "one", "j-1", [])
        assert shards.counts(connection, "one") == ShardCounts(0, 0, 0, 0)


def test_a_shard_is_claimed_by_one_worker(catalog: Database, two_shards: list[int]) -> None:
    with catalog.write() as connection:
        shard = shards.claim(connection, two_shards[0], 60)
        assert shard is not None
        assert (shard.first_document_id, shard.last_document_id, shard.attempts) == ("a", "f", 1)
        assert shards.claim(connection, two_shards[0], 60) is None
        shards.finish(connection, shard, 12)
        assert shards.claim(connection, two_shards[0], 60) is None
        assert shards.counts(connection, "one") == ShardCounts(2, 1, 0, 12)


def test_a_shard_whose_worker_died_is_sent_again(catalog: Database, two_shards: list[int]) -> None:
    with catalog.write() as connection:
        dead = shards.claim(connection, two_shards[0], -1)
        assert dead is not None
        assert shards.take_unsent(connection, "one", RESEND) == [two_shards[0]]
        alive = shards.claim(connection, two_shards[0], 60)
        assert alive is not None
        assert (alive.token, alive.attempts) == (dead.token + 1, 2)
    for late in (
        lambda c: shards.renew(c, dead, 60),
        lambda c: shards.finish(c, dead, 1),
        lambda c: shards.give_back(c, dead, "late", failed=False),
    ):
        with pytest.raises(LeaseLost), catalog.write() as connection:
            late(connection)


def test_a_shard_that_is_held_is_not_sent_again(catalog: Database, two_shards: list[int]) -> None:
    with catalog.write() as connection:
        shard = shards.claim(connection, two_shards[0], 60)
        assert shard is not None
        shards.renew(connection, shard, 60)
        assert shards.take_unsent(connection, "one", RESEND) == []


def test_a_version_is_at_work_while_a_worker_holds_a_shard_of_it(
    catalog: Database, two_shards: list[int]
) -> None:
    with catalog.write() as connection:
        assert not shards.is_at_work(connection, "one")
        shard = shards.claim(connection, two_shards[0], 30)
        assert shard is not None
        assert shards.is_at_work(connection, "one")
        shards.finish(connection, shard, 1)
        assert not shards.is_at_work(connection, "one")


@pytest.mark.parametrize(("retry_seconds", "due"), [(-1.0, True), (60.0, False)])
def test_a_shard_given_back_is_sent_again_when_its_pause_is_over(
    catalog: Database, two_shards: list[int], retry_seconds: float, due: bool
) -> None:
    with catalog.write() as connection:
        shard = shards.claim(connection, two_shards[1], 60)
        assert shard is not None
        shards.give_back(connection, shard, "unavailable: away", failed=False, retry_seconds=retry_seconds)
        assert shards.take_unsent(connection, "one", RESEND) == ([two_shards[1]] if due else [])
        assert (shards.claim(connection, two_shards[1], 60) is not None) is due
        assert shards.errors(connection, "one") == []


def test_a_shard_handed_back_is_the_next_to_be_sent_and_has_used_no_attempt(
    catalog: Database, two_shards: list[int]
) -> None:
    with catalog.write() as connection:
        for _ in range(10):
            shard = shards.claim(connection, two_shards[0], 60)
            assert shard is not None
            assert shard.attempts == 1
            shards.hand_back(connection, shard)
            assert not shards.is_at_work(connection, "one")
            assert shards.take_unsent(connection, "one", RESEND) == [two_shards[0]]


def test_a_shard_that_another_worker_has_is_not_handed_back(catalog: Database, two_shards: list[int]) -> None:
    with catalog.write() as connection:
        paused = shards.claim(connection, two_shards[0], -1)
        taken = shards.claim(connection, two_shards[0], 60)
        assert paused is not None
        assert taken is not None
    with pytest.raises(LeaseLost), catalog.write() as connection:
        shards.hand_back(connection, paused)
    with catalog.write() as connection:
        shards.renew(connection, taken, 60)


def test_a_failed_shard_says_why_and_is_never_taken_again(catalog: Database, two_shards: list[int]) -> None:
    with catalog.write() as connection:
        shard = shards.claim(connection, two_shards[1], 60)
        assert shard is not None
        shards.give_back(connection, shard, "invalid_input: no", failed=True)
        assert shards.take_unsent(connection, "one", -1) == [two_shards[0]]
        assert shards.claim(connection, two_shards[1], 60) is None
        assert shards.errors(connection, "one") == ["documents 'g'..'z': invalid_input: no"]
        assert shards.counts(connection, "one") == ShardCounts(2, 0, 1, 0)
