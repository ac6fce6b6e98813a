from __future__ import annotations

import random
import threading

import pytest

from embedloop.demo.ontology import Case, Vocabulary
from embedloop.demo.people import Reaction, Tally, attention, expected_votes, play, react
from embedloop.records.feedback import Signal
from tests.unit.embedloop.demo.fake_service import FakeService

SHOWN = [f"d{rank}" for rank in range(1, 11)]


def reactions(right: str, times: int = 4000) -> list[list[Reaction]]:
    rng = random.Random(5)
    return [react(SHOWN, right, rng) for _ in range(times)]


def test_first_rank_is_always_seen_and_lower_ones_less_and_less() -> None:
    seen = [attention(rank) for rank in range(1, 11)]
    assert seen[0] == 1.0
    assert seen == sorted(seen, reverse=True)
    assert seen[9] == pytest.approx(1 / 1.9)


def test_right_document_on_top_gets_one_thumb_of_which_one_in_twenty_is_wrong() -> None:
    given = [one for reaction in reactions("d1") for one in reaction]
    assert len(given) == 4000
    assert {one.document_id for one in given} == {"d1"}
    downs = [one for one in given if one.signal is Signal.DOWN]
    assert all(one.wrong for one in downs)
    assert len(downs) / len(given) == pytest.approx(0.05, abs=0.012)


def test_lower_ranked_right_document_is_overlooked_as_often_as_attention_says() -> None:
    silent = sum(not reaction for reaction in reactions("d10"))
    assert silent / 4000 == pytest.approx(1 - attention(10), abs=0.025)


def test_only_documents_above_the_right_one_get_thumbs_down() -> None:
    for reaction in reactions("d4"):
        assert {one.document_id for one in reaction} <= {"d1", "d2", "d3", "d4"}
        assert not reaction or reaction[0].document_id == "d4"


def test_missing_document_is_named_in_six_cases_of_ten() -> None:
    given = reactions("elsewhere")
    assert {len(reaction) for reaction in given} == {1}
    named = [reaction for reaction in given if reaction == [Reaction(Signal.CORRECT, "elsewhere")]]
    others = [reaction for reaction in given if reaction == [Reaction(Signal.NONE_RELEVANT)]]
    assert len(named) + len(others) == 4000
    assert len(named) / 4000 == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("rank", [1, 3, 10, None])
def test_expected_votes_are_the_mean_of_what_people_give(rank: int | None) -> None:
    right = "elsewhere" if rank is None else f"d{rank}"
    mean = sum(map(len, reactions(right))) / 4000
    assert mean == pytest.approx(expected_votes(rank), abs=0.08)


def played(vocabulary: Vocabulary, seed: str, threads: int) -> tuple[FakeService, Tally]:
    service = FakeService(meaning={})
    service.policy = {"trigger": {"new_feedback": None}}
    service.documents = {term.term_id: term.document for term in vocabulary.terms}
    tally = Tally()
    with service.client() as client:
        play(
            client,
            "hpo",
            vocabulary.train[:60],
            people=10,
            threads=threads,
            seed=seed,
            tally=tally,
            stop=threading.Event(),
            on_visit=lambda: None,
        )
    return service, tally


def test_same_seed_and_answers_give_the_same_votes_whatever_the_threads(small_vocabulary: Vocabulary) -> None:
    _, one = played(small_vocabulary, "a", threads=1)
    _, many = played(small_vocabulary, "a", threads=8)
    _, other = played(small_vocabulary, "b", threads=1)
    assert one == many
    assert one != other


def test_every_person_has_a_session_of_their_own(small_vocabulary: Vocabulary) -> None:
    service, tally = played(small_vocabulary, "a", threads=2)
    assert sum(service.sessions.values()) == tally.searches == 60
    assert set(service.sessions) <= {f"person-{number:02d}" for number in range(1, 11)}
    assert len(service.sessions) > 5
    assert len(service.feedback) == tally.votes


def test_nobody_searches_after_stop(small_vocabulary: Vocabulary) -> None:
    service = FakeService(meaning={})
    service.policy = {"trigger": {"new_feedback": None}}
    service.documents = {term.term_id: term.document for term in small_vocabulary.terms}
    stop, tally = threading.Event(), Tally()
    with service.client() as client:
        cases: list[Case] = list(small_vocabulary.train)
        play(
            client,
            "hpo",
            cases,
            people=10,
            threads=1,
            seed="a",
            tally=tally,
            stop=stop,
            on_visit=stop.set,
        )
    assert tally.searches == 1
