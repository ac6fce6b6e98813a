"""Promotions under way and what the replicas hold."""

from __future__ import annotations

import pytest

from embedloop.catalog import corpora, promotions
from embedloop.catalog.database import Database
from embedloop.errors import Conflict, NotFound, PromotionRefused
from embedloop.policy import Boost, Policy
from tests.unit.embedloop.catalog.conftest import CORPUS


def begin(
    catalog: Database, promotion_id: str, candidate: str, seconds: float = 60, corpus: str = CORPUS
) -> None:
    with catalog.write() as connection:
        promotions.open_promotion(
            connection,
            promotion_id=promotion_id,
            corpus=corpus,
            candidate=candidate,
            replaces=None,
            token=corpora.next_promotion_token(connection, corpus),
            timeout_seconds=seconds,
            actor="test",
        )


def test_one_promotion_prepares_at_a_time(catalog: Database) -> None:
    begin(catalog, "p-1", "iv-1")
    with pytest.raises(Conflict, match="iv-1"):
        begin(catalog, "p-2", "iv-2")
    begin(catalog, "p-3", "iv-3", corpus="other")
    with catalog.read() as connection:
        assert {name: p.candidate for name, p in promotions.preparing(connection).items()} == {
            CORPUS: "iv-1",
            "other": "iv-3",
        }


def test_a_promotion_ends_once(catalog: Database) -> None:
    begin(catalog, "p-1", "iv-1")
    with catalog.write() as connection:
        promotions.publish(connection, "p-1")
        promotions.call_off(connection, "p-1", "too late")
        assert promotions.preparing(connection) == {}
        with pytest.raises(PromotionRefused, match="p-1 was called off"):
            promotions.publish(connection, "p-1")
    begin(catalog, "p-2", "iv-2")


def test_a_promotion_whose_process_died_makes_room_after_its_deadline(catalog: Database) -> None:
    begin(catalog, "p-1", "iv-1", seconds=-1)
    with catalog.read() as connection:
        assert promotions.preparing(connection) == {}
    begin(catalog, "p-2", "iv-2")
    with (
        catalog.write() as connection,
        pytest.raises(PromotionRefused, match="called off: its deadline passed"),
    ):
        promotions.publish(connection, "p-1")


def test_a_promotion_that_was_called_off_says_why_and_publishes_nothing(catalog: Database) -> None:
    begin(catalog, "p-1", "iv-1")
    with catalog.write() as connection:
        promotions.call_off(connection, "p-1", "replica r-2 was not ready")
        with pytest.raises(PromotionRefused, match="called off: replica r-2 was not ready"):
            promotions.publish(connection, "p-1")


def test_a_promotion_past_its_deadline_publishes_nothing_before_the_reaper_has_seen_it(
    catalog: Database,
) -> None:
    begin(catalog, "p-1", "iv-1", seconds=-1)
    with catalog.write() as connection, pytest.raises(PromotionRefused, match="its deadline passed"):
        promotions.publish(connection, "p-1")


def test_an_actor_calls_off_only_what_it_left_itself(catalog: Database) -> None:
    begin(catalog, "p-1", "iv-1")
    begin(catalog, "p-2", "iv-2", corpus="other")
    with catalog.write() as connection:
        promotions.call_off_of(connection, CORPUS, "somebody else", "gone")
        assert set(promotions.preparing(connection)) == {CORPUS, "other"}
        promotions.call_off_of(connection, CORPUS, "test", "gone")
        assert set(promotions.preparing(connection)) == {"other"}


def test_promotion_tokens_grow(catalog: Database) -> None:
    with catalog.write() as connection:
        first = corpora.next_promotion_token(connection, CORPUS)
        assert corpora.next_promotion_token(connection, CORPUS) == first + 1
        assert corpora.promotion_token(connection, CORPUS) == first + 1
        assert corpora.promotion_token(connection, "other") == 0


def test_replicas_are_heard_while_fresh_and_hold_while_their_lease_runs(catalog: Database) -> None:
    with catalog.write() as connection:
        promotions.hold(connection, "r-1", CORPUS, serving="iv-1", prepared=None, lease_seconds=300)
        promotions.hold(connection, "r-1", CORPUS, serving="iv-1", prepared="iv-2", lease_seconds=300)
        promotions.hold(connection, "r-2", CORPUS, serving="iv-1", prepared=None, lease_seconds=-1)
        heard = promotions.heard(connection, CORPUS, 15)
        assert {(r.replica_id, r.serving, r.prepared) for r in heard} == {
            ("r-1", "iv-1", "iv-2"),
            ("r-2", "iv-1", None),
        }
        assert [r.replica_id for r in promotions.holders(connection, CORPUS)] == ["r-1"]
        assert promotions.heard(connection, CORPUS, -1) == []
        assert promotions.heard(connection, "other", 15) == []
        promotions.leave(connection, "r-1")
        assert promotions.holders(connection, CORPUS) == []
        promotions.forget_expired(connection)
        assert [r.replica_id for r in promotions.heard(connection, CORPUS, 15)] == ["r-2"]


def test_a_corpus_keeps_its_policy_and_what_serves(catalog: Database) -> None:
    policy = Policy(boosts=(Boost(field="lang", value="en", factor=2.0),))
    with catalog.write() as connection:
        corpora.set_policy(connection, CORPUS, policy)
        corpora.set_serving(connection, CORPUS, "iv-2", "iv-1")
        corpus = corpora.get(connection, CORPUS)
    assert (corpus.policy, corpus.serving, corpus.previous) == (policy, "iv-2", "iv-1")


def test_a_corpus_name_is_taken_once(catalog: Database) -> None:
    with pytest.raises(Conflict, match="'papers'") as refusal, catalog.write() as connection:
        corpora.add(connection, CORPUS, Policy())
    assert refusal.value.field == "name"


def test_a_removed_corpus_takes_what_hangs_on_it_along(catalog: Database) -> None:
    begin(catalog, "p-1", "iv-1")
    with catalog.write() as connection:
        promotions.hold(connection, "r-1", CORPUS, serving=None, prepared=None, lease_seconds=300)
        corpora.remove(connection, CORPUS)
        assert promotions.holders(connection, CORPUS) == []
        assert promotions.preparing(connection) == {}
        with pytest.raises(NotFound, match="papers"):
            corpora.get(connection, CORPUS)
