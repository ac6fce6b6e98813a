from __future__ import annotations

from typing import Any

import pytest

from benchmarks import swap_figures, swap_load
from benchmarks.swap_figures import BUILDING, CALM, SWAPPING, phase_of
from benchmarks.swap_moves import Swap
from benchmarks.swap_oracle import Answer
from benchmarks.swap_traffic import Search
from embedloop.demo.ontology import Case, Term, Vocabulary

ANSWER = Answer(0, "iv", "m", ((0, 1.0),))
# Built from 10 s on, promoted from 20 s to 22 s.
REEMBED = Swap("re-embed", "narrow", "wide", 20.0, 22.0, 10.0, {"embed": 8.0, "verify": 2.0})
ROLLBACK = Swap("rollback", "wide", "narrow", 30.0, 31.0, 30.0, {})
DIMENSIONS = {"narrow": 32, "wide": 48}


def search(sent: float, ended: float, error: str | None = None) -> Search:
    return Search(sent, ended, None if error else ANSWER, error)


@pytest.mark.parametrize(
    ("sent", "ended", "phase"),
    [
        (1.0, 2.0, CALM),
        (9.9, 10.1, BUILDING),
        (15.0, 15.1, BUILDING),
        (19.9, 20.1, SWAPPING),
        (20.5, 20.6, SWAPPING),
        (21.9, 22.5, SWAPPING),
        (22.0, 22.5, CALM),
        (29.0, 32.0, SWAPPING),
        (31.0, 31.1, CALM),
    ],
)
def test_search_belongs_to_the_swap_that_it_touches_at_any_moment(
    sent: float, ended: float, phase: str
) -> None:
    assert phase_of(search(sent, ended), [REEMBED, ROLLBACK]) == phase


def test_latencies_are_told_by_phase_without_the_warm_up_and_without_errors() -> None:
    searches = [search(0.0, 5.0), search(3.0, 3.1), search(20.0, 20.4), search(20.1, 20.2, "status 503")]
    found = swap_figures.latencies(searches, [REEMBED], since=2.0)
    assert (found[CALM]["searches"], found[SWAPPING]["searches"]) == (1, 1)
    assert found[CALM]["p99"] == pytest.approx(100.0)
    assert found[SWAPPING]["p50"] == pytest.approx(400.0)
    assert found[BUILDING] == {"searches": 0}


def test_windows_count_searches_by_when_they_were_sent_and_leave_gaps() -> None:
    searches = [search(100.1, 100.2), search(100.9, 103.0), search(102.5, 102.6, "status 429")]
    found = swap_figures.windows(searches, 100.0, 103.0)
    assert found["at"] == [0.5, 1.5, 2.5]
    assert found["searches"] == [2, 0, 0]
    assert found["errors"] == [0, 0, 1]
    assert found["p50_ms"] == [1100.0, None, None]


def test_swaps_are_told_in_seconds_after_the_begin_with_both_dimensions() -> None:
    first, second = swap_figures.swaps_of([REEMBED, ROLLBACK], DIMENSIONS, since=5.0)
    assert (first["build_begin"], first["begin"], first["end"], first["seconds"]) == (5.0, 15.0, 17.0, 2.0)
    assert (first["dimensions"], first["spans"]) == ([32, 48], {"embed": 8.0, "verify": 2.0})
    assert (second["dimensions"], "spans" in second) == ([48, 32], False)


def test_swaps_are_counted_by_kind_and_by_whether_the_dimension_changed() -> None:
    rows = swap_figures.swaps_of([REEMBED, ROLLBACK, ROLLBACK], DIMENSIONS | {"narrow": 48}, since=0.0)
    assert swap_figures.counted(rows) == {
        "all": 3,
        "re-embed": 1,
        "promote": 0,
        "rollback": 2,
        "equal_dimension": 3,
        "different_dimension": 0,
    }


def test_spread_of_no_swap_at_all_is_told_as_unknown() -> None:
    assert swap_figures.spread([1.0, 4.0, 2.0]) == {"median": 2.0, "least": 1.0, "most": 4.0}
    assert swap_figures.spread([]) == {"median": None, "least": None, "most": None}


def part(**found: Any) -> dict[str, Any]:
    clean = {"mixed": 0, "misnamed": 0, "empty": 0}
    latency = {CALM: {"searches": 5, "p50": 10.0, "p99": 20.0}, SWAPPING: {"searches": 0}}
    return {"oracle": clean, "errors": {}, "wrong": {}, "latency_ms": latency} | found


def test_verdict_fails_on_one_answer_one_error_or_one_document_that_is_wrong() -> None:
    for kind in ("mixed", "misnamed", "empty"):
        told = swap_figures.judged({"tiny": part(oracle={"mixed": 0, "misnamed": 0, "empty": 0} | {kind: 1})})
        assert not told["tiny_mixed_answers"]["met"]
    assert not swap_figures.judged({"tiny": part(errors={"put: unavailable": 1})})["tiny_errors"]["met"]
    assert not swap_figures.judged({"tiny": part(wrong={"deleted shown": 1})})["tiny_wrong_documents"]["met"]
    assert all(one["met"] for one in swap_figures.judged({"tiny": part()}).values())


def test_latency_during_swaps_is_told_beside_that_without() -> None:
    during = {
        CALM: {"searches": 5, "p50": 10.0, "p99": 20.0},
        SWAPPING: {"searches": 5, "p50": 15.0, "p99": 50.0},
    }
    told = swap_figures.judged({"real": part(latency_ms=during)})
    assert told["real_p50_swapping_to_calm"] == {"value": 1.5}
    assert told["real_p99_swapping_to_calm"] == {"value": 2.5}


def test_queries_ask_for_documents_that_stay_and_for_those_that_are_written() -> None:
    terms = tuple(Term(f"T{n}", f"name {n}", "definition", ()) for n in range(20))
    cases = tuple(Case(f"synonym {n}", f"T{n}") for n in range(20))
    queries = swap_load.queries_of(Vocabulary(terms, cases, (), (), "release"), terms[10:], 8)
    assert queries == [*(f"synonym {n}" for n in range(6)), "name 10", "name 11"]
