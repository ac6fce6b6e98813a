from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from embedloop.policy import Votes
from embedloop.records.feedback import Signal, Vote
from embedloop.records.labels import Judgment, JudgmentSource, Split
from embedloop.text.normalise import query_key
from training.judgments import aggregate, strongest
from training.propensity import Propensity

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def vote(
    person: str,
    signal: Signal,
    minute: int = 0,
    query: str = "dry eye",
    document: str = "D1",
    rank: int | None = 1,
) -> Vote:
    return Vote(
        feedback_id=f"{person}-{signal}-{minute}",
        query=query,
        document_id=document,
        signal=signal,
        person=person,
        rank=rank,
        at=NOON + timedelta(minutes=minute),
    )


def test_one_thumb_is_enough_by_default() -> None:
    (judgment,) = aggregate([vote("ann", Signal.UP)], Votes()).judgments
    assert (judgment.grade, judgment.sources) == (1, ("ann-up-0",))


def test_one_person_counts_once_however_often_they_vote() -> None:
    votes = [vote("ann", Signal.UP, minute) for minute in range(5)]
    assert aggregate(votes, Votes(min_weight=2)).judgments == []


def test_latest_signal_of_a_person_replaces_the_earlier_one() -> None:
    (judgment,) = aggregate([vote("ann", Signal.DOWN, 9), vote("ann", Signal.UP, 1)], Votes()).judgments
    assert (judgment.grade, judgment.sources) == (0, ("ann-down-9",))


def test_click_never_weakens_an_earlier_thumb() -> None:
    (judgment,) = aggregate([vote("ann", Signal.DOWN, 1), vote("ann", Signal.CLICK, 2)], Votes()).judgments
    assert judgment.grade == 0


def test_clicks_alone_need_four_distinct_people() -> None:
    clicks = [vote(person, Signal.CLICK) for person in ("ann", "bob", "cyd", "dan")]
    assert aggregate(clicks[:3], Votes()).judgments == []
    assert aggregate(clicks, Votes()).judgments[0].grade == 1


def test_weights_that_sum_to_the_threshold_in_decimals_reach_it() -> None:
    clicks = [vote(f"p{number}", Signal.CLICK) for number in range(10)]
    assert len(aggregate(clicks, Votes(click=0.1)).judgments) == 1


def test_people_who_disagree_make_no_judgment() -> None:
    assert aggregate([vote("ann", Signal.UP), vote("bob", Signal.DOWN)], Votes()).judgments == []


def test_none_relevant_yields_nothing_and_cancels_nothing() -> None:
    votes = [vote("ann", Signal.UP, 0), vote("ann", Signal.NONE_RELEVANT, 1)]
    (judgment,) = aggregate(votes, Votes()).judgments
    assert judgment.sources == ("ann-up-0",)


def test_queries_that_differ_in_case_only_are_one_query() -> None:
    votes = [vote("ann", Signal.UP, 0, "Dry Eye"), vote("bob", Signal.UP, 1, "dry eye")]
    (judgment,) = aggregate(votes, Votes(min_weight=2)).judgments
    assert (judgment.query, judgment.sources) == ("Dry Eye", ("ann-up-0", "bob-up-1"))


def test_order_of_votes_does_not_matter() -> None:
    votes = [
        vote(person, signal, minute, document=f"D{minute % 2}")
        for minute, (person, signal) in enumerate(
            [("ann", Signal.UP), ("bob", Signal.DOWN), ("ann", Signal.CLICK)]
        )
    ]
    assert aggregate(votes, Votes()) == aggregate(votes[::-1], Votes())


def test_clicks_alone_are_marked_and_one_thumb_ends_that() -> None:
    clicks = [vote(person, Signal.CLICK) for person in ("ann", "bob", "cyd", "dan")]
    assert aggregate(clicks, Votes()).judgments[0].by_clicks
    assert not aggregate([*clicks, vote("eve", Signal.UP)], Votes()).judgments[0].by_clicks


def test_clicks_never_turn_what_a_thumb_says() -> None:
    clicks = [vote(f"p{number}", Signal.CLICK) for number in range(20)]
    (judgment,) = aggregate([*clicks, vote("eve", Signal.DOWN)], Votes()).judgments
    assert (judgment.grade, judgment.by_clicks) == (0, False)


def test_label_that_a_thumb_makes_only_with_clicks_is_one_by_clicks() -> None:
    votes = [vote("ann", Signal.UP), *(vote(f"p{number}", Signal.CLICK) for number in range(4))]
    (judgment,) = aggregate(votes, Votes(min_weight=2)).judgments
    assert (judgment.grade, judgment.by_clicks) == (1, True)


def test_clicks_decide_between_people_who_disagree_and_the_label_is_one_by_clicks() -> None:
    clicks = [vote(f"p{number}", Signal.CLICK) for number in range(4)]
    made = aggregate([*clicks, vote("ann", Signal.UP), vote("bob", Signal.DOWN)], Votes())
    assert [(one.grade, one.by_clicks) for one in made.judgments] == [(1, True)]
    assert (made.counts["conflicts"], made.counts["judged_by_clicks"]) == (1, 1)


PEOPLE = st.sampled_from(["ann", "bob", "cyd", "dan", "eve"])
SIGNALS = st.sampled_from([Signal.UP, Signal.DOWN, Signal.CORRECT, Signal.CLICK, Signal.NONE_RELEVANT])
VOTES = st.lists(
    st.builds(
        vote,
        PEOPLE,
        SIGNALS,
        st.integers(0, 90),
        st.sampled_from(["dry eye", "Dry Eye?", "nose"]),
        st.sampled_from(["D1", "D2"]),
        st.integers(1, 10),
    ),
    max_size=30,
)


@given(VOTES, VOTES)
def test_no_click_makes_unmakes_or_turns_a_label_that_measures(votes: list[Vote], more: list[Vote]) -> None:
    def measuring(given: list[Vote]) -> set[tuple[str, str, int]]:
        policy = Votes(max_per_person=4, max_per_session=3)
        made = aggregate(given, policy, propensity=Propensity(1.0)).judgments
        return {(query_key(one.query), one.document_id, one.grade) for one in made if not one.by_clicks}

    clicks = [one for one in more if one.signal is Signal.CLICK]
    assert measuring([*votes, *clicks]) == measuring([one for one in votes if one.signal is not Signal.CLICK])


@given(VOTES)
def test_only_what_somebody_named_is_judged_and_wrong_only_what_somebody_refused(votes: list[Vote]) -> None:
    named = {(query_key(one.query), one.document_id) for one in votes}
    refused = {(query_key(one.query), one.document_id) for one in votes if one.signal is Signal.DOWN}
    for one in aggregate(votes, Votes()).judgments:
        assert (query_key(one.query), one.document_id) in (named if one.grade else refused)


def test_fewer_people_than_asked_make_no_judgment_however_much_they_weigh() -> None:
    policy = Votes(up=10, min_people=2)
    assert aggregate([vote("ann", Signal.UP)], policy).judgments == []
    assert len(aggregate([vote("ann", Signal.UP), vote("bob", Signal.UP)], policy).judgments) == 1


def test_people_who_disagree_too_much_make_no_judgment_and_are_counted() -> None:
    votes = [vote("ann", Signal.UP), vote("bob", Signal.UP), vote("cyd", Signal.UP), vote("dan", Signal.DOWN)]
    lenient, strict = aggregate(votes, Votes()), aggregate(votes, Votes(min_agreement=0.8))
    assert (lenient.judgments[0].grade, lenient.counts["conflicts"]) == (1, 1)
    assert (strict.judgments, strict.counts["conflicts_undecided"]) == ([], 1)


def test_of_one_person_only_the_newest_signals_count() -> None:
    votes = [vote("ann", Signal.UP, minute, document=f"D{minute}") for minute in range(5)]
    made = aggregate(votes, Votes(max_per_person=2))
    assert [one.document_id for one in made.judgments] == ["D3", "D4"]
    assert made.counts["over_person_cap"] == 3


def test_persons_clicks_never_push_out_their_thumb() -> None:
    clicks = [vote("ann", Signal.CLICK, minute, document=f"D{minute}") for minute in range(2, 9)]
    made = aggregate([vote("ann", Signal.UP), *clicks], Votes(max_per_person=1, max_per_session=1))
    assert [one.document_id for one in made.judgments] == ["D1"]


def test_each_visit_has_its_own_cap() -> None:
    minutes = [0, 1, 2, 60, 61, 62]
    votes = [vote("ann", Signal.UP, minute, document=f"D{minute}") for minute in minutes]
    made = aggregate(votes, Votes(max_per_session=1, session_gap_seconds=1800))
    assert [one.document_id for one in made.judgments] == ["D2", "D62"]
    assert made.counts["over_session_cap"] == 4


def test_thumb_decays_until_it_is_too_light() -> None:
    policy = Votes(half_life_days=10, min_weight=0.5)
    young, old = NOON + timedelta(days=9), NOON + timedelta(days=11)
    assert len(aggregate([vote("ann", Signal.UP)], policy, at=young).judgments) == 1
    assert aggregate([vote("ann", Signal.UP)], policy, at=old).judgments == []


def test_what_is_too_old_is_left_out_and_counted() -> None:
    made = aggregate([vote("ann", Signal.UP)], Votes(max_age_days=1), at=NOON + timedelta(days=2))
    assert (made.judgments, made.counts["too_old"]) == ([], 1)


def test_click_far_down_weighs_more_but_never_more_than_the_clip() -> None:
    steep = Propensity(exponent=1.0, taken=1000)
    clicks = [vote(person, Signal.CLICK, rank=9) for person in ("ann", "bob")]
    assert aggregate(clicks, Votes(), propensity=steep).judgments[0].grade == 1
    assert aggregate(clicks[:1], Votes(), propensity=steep).judgments == []
    assert aggregate(clicks, Votes()).judgments == []


def test_thumbs_weigh_the_same_at_every_rank() -> None:
    steep = Propensity(exponent=1.0, taken=1000)
    votes = [vote("ann", Signal.UP, rank=9), vote("bob", Signal.DOWN, rank=1)]
    assert aggregate(votes, Votes(), propensity=steep).judgments == []


def test_clicks_on_what_was_hardly_shown_wait() -> None:
    clicks = [vote(person, Signal.CLICK) for person in ("ann", "bob", "cyd", "dan")]
    key = (query_key("dry eye"), "D1")
    policy = Votes(min_impressions=10)
    assert aggregate(clicks, policy, impressions={key: 9}).counts["too_few_impressions"] == 4
    assert len(aggregate(clicks, policy, impressions={key: 10}).judgments) == 1


def test_every_vote_is_counted_once() -> None:
    votes = [
        vote("ann", Signal.UP, 1),
        vote("ann", Signal.UP, 2),
        vote("bob", Signal.NONE_RELEVANT, 3),
        vote("cyd", Signal.UP, 4, document="D2"),
        vote("cyd", Signal.UP, 5, document="D3"),
    ]
    counts = aggregate(votes, Votes(max_per_person=1)).counts
    left_out = sum(
        counts.get(name, 0)
        for name in ("about_no_document", "too_old", "over_person_cap", "over_session_cap", "repeated")
    )
    assert counts["votes"] == 5 == counts["counted"] + left_out


def label(source: JudgmentSource, grade: int, document: str = "D1") -> Judgment:
    return Judgment("dry eye", document, grade, Split.TRAIN, source, (f"{source}-1",))


def test_import_wins_over_thumbs_and_thumbs_over_clicks() -> None:
    imported, thumbs, clicks = (
        label(JudgmentSource.IMPORT, 0),
        label(JudgmentSource.FEEDBACK, 1),
        label(JudgmentSource.CLICKS, 0),
    )
    assert strongest([thumbs, imported]) == ([imported], 1)
    assert strongest([clicks, thumbs]) == ([thumbs], 1)


def test_labels_that_agree_all_stay_for_their_lineage() -> None:
    both = [label(JudgmentSource.FEEDBACK, 1), label(JudgmentSource.IMPORT, 3)]
    assert strongest(both) == (both, 0)
