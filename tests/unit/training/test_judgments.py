from __future__ import annotations

from datetime import UTC, datetime, timedelta

from embedloop.policy import Votes
from embedloop.records import Signal, Vote
from training.judgments import aggregate

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def vote(person: str, signal: Signal, minute: int = 0, query: str = "dry eye", document: str = "D1") -> Vote:
    return Vote(
        feedback_id=f"{person}-{signal}-{minute}",
        query=query,
        document_id=document,
        signal=signal,
        person=person,
        rank=1,
        at=NOON + timedelta(minutes=minute),
    )


def test_one_thumb_is_enough_by_default() -> None:
    (judgment,) = aggregate([vote("ann", Signal.UP)], Votes())
    assert (judgment.grade, judgment.sources) == (1, ("ann-up-0",))


def test_one_person_counts_once_however_often_they_vote() -> None:
    votes = [vote("ann", Signal.UP, minute) for minute in range(5)]
    assert aggregate(votes, Votes(min_weight=2)) == []


def test_latest_signal_of_a_person_replaces_the_earlier_one() -> None:
    (judgment,) = aggregate([vote("ann", Signal.DOWN, 9), vote("ann", Signal.UP, 1)], Votes())
    assert (judgment.grade, judgment.sources) == (0, ("ann-down-9",))


def test_click_never_weakens_an_earlier_thumb() -> None:
    (judgment,) = aggregate([vote("ann", Signal.DOWN, 1), vote("ann", Signal.CLICK, 2)], Votes())
    assert judgment.grade == 0


def test_clicks_alone_need_four_distinct_people() -> None:
    clicks = [vote(person, Signal.CLICK) for person in ("ann", "bob", "cyd", "dan")]
    assert aggregate(clicks[:3], Votes()) == []
    assert aggregate(clicks, Votes())[0].grade == 1


def test_weights_that_sum_to_the_threshold_in_decimals_reach_it() -> None:
    clicks = [vote(f"p{number}", Signal.CLICK) for number in range(10)]
    assert len(aggregate(clicks, Votes(click=0.1))) == 1


def test_people_who_disagree_make_no_judgment() -> None:
    assert aggregate([vote("ann", Signal.UP), vote("bob", Signal.DOWN)], Votes()) == []


def test_none_relevant_yields_nothing_and_cancels_nothing() -> None:
    votes = [vote("ann", Signal.UP, 0), vote("ann", Signal.NONE_RELEVANT, 1)]
    (judgment,) = aggregate(votes, Votes())
    assert judgment.sources == ("ann-up-0",)


def test_queries_that_differ_in_case_only_are_one_query() -> None:
    votes = [vote("ann", Signal.UP, 0, "Dry Eye"), vote("bob", Signal.UP, 1, "dry eye")]
    (judgment,) = aggregate(votes, Votes(min_weight=2))
    assert (judgment.query, judgment.sources) == ("Dry Eye", ("ann-up-0", "bob-up-1"))


def test_order_of_votes_does_not_matter() -> None:
    votes = [
        vote(person, signal, minute, document=f"D{minute % 2}")
        for minute, (person, signal) in enumerate(
            [("ann", Signal.UP), ("bob", Signal.DOWN), ("ann", Signal.CLICK)]
        )
    ]
    assert aggregate(votes, Votes()) == aggregate(votes[::-1], Votes())
