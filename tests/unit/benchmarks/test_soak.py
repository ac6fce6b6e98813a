from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from benchmarks import soak_figures
from benchmarks.soak_ledger import REVISION, Ledger
from embedloop.errors import InvalidInput


def windows_of(mib: dict[str, list[float]], p50: list[float] | None = None) -> dict[str, Any]:
    windows = soak_figures.empty_windows()
    for number in range(len(next(iter(mib.values())))):
        soak_figures.add_window(
            windows,
            at=60.0 * number,
            latencies_ms=[p50[number]] if p50 else [],
            errors=0,
            lag=0,
            queued=0,
            mib={name: column[number] for name, column in mib.items()},
        )
    return windows


def test_slope_of_a_line_is_its_slope_and_a_few_outliers_do_not_move_it() -> None:
    times = [float(at) for at in range(30)]
    line = [3.0 + 0.5 * at for at in times]
    assert soak_figures.theil_sen(times, line) == pytest.approx(0.5)
    line[7], line[20] = 500.0, -400.0
    assert soak_figures.theil_sen(times, line) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("times", "values"), [([], []), ([1.0], [2.0]), ([1.0, 2.0], [3.0]), ([5.0, 5.0], [1.0, 2.0])]
)
def test_slope_of_too_few_points_is_refused(times: list[float], values: list[float]) -> None:
    with pytest.raises(InvalidInput):
        soak_figures.theil_sen(times, values)


def test_growth_is_told_in_mib_an_hour_and_only_of_the_time_asked_for() -> None:
    leak = [1000.0, 500.0, *(100.0 + 2.0 * minute for minute in range(20))]
    windows = windows_of({"service": leak, "milvus": [300.0] * 22})
    assert soak_figures.growth_per_hour(windows, since=120.0) == {"service": 120.0, "milvus": 0.0}


def test_growth_of_too_few_looks_is_not_told() -> None:
    windows = windows_of({"service": [100.0] * 12})
    assert soak_figures.growth_per_hour(windows, since=180.0) == {"service": None}


def test_process_that_comes_later_or_goes_leaves_a_gap() -> None:
    windows = soak_figures.empty_windows()
    for at, mib in ((5.0, {"a": 1.0}), (10.0, {"b": 2.0}), (15.0, {"a": 3.0, "b": 4.0})):
        soak_figures.add_window(windows, at=at, latencies_ms=[], errors=0, lag=None, queued=None, mib=mib)
    assert windows["mib"] == {"a": [1.0, None, 3.0], "b": [None, 2.0, 4.0]}
    assert windows["p50_ms"] == [None, None, None]


def test_thirds_compare_the_begin_with_the_end() -> None:
    windows = windows_of({"service": [1.0] * 9}, p50=[10.0, 12.0, 11.0, 90.0, 95.0, 80.0, 21.0, 20.0, 22.0])
    assert soak_figures.thirds(windows) == {"first_p50_ms": 11.0, "last_p50_ms": 21.0}


def test_growth_is_looked_at_after_the_cycle_and_not_while_it_goes_on() -> None:
    assert soak_figures.settled_from(None) == 60.0
    assert soak_figures.settled_from({"ended_at": 700.0}) == 760.0
    assert soak_figures.settled_from({"ended_at": None}) is None


def test_summary_fails_on_one_wrong_answer_and_on_one_error() -> None:
    windows = windows_of({"service": [100.0] * 20}, p50=[10.0] * 20)
    clean = soak_figures.summary(windows, None, Counter(), Counter())
    assert clean["verdicts"]["wrong_answers"]["met"]
    assert clean["verdicts"]["errors"]["met"]
    assert clean["searches"] == 20
    soiled = soak_figures.summary(
        windows, {"ended_at": None}, Counter({"search: unavailable": 1}), Counter({"deleted shown": 1})
    )
    assert not soiled["verdicts"]["wrong_answers"]["met"]
    assert not soiled["verdicts"]["errors"]["met"]
    assert soiled["growth_mib_per_hour"] == {}


def test_deleted_document_is_wrong_only_in_answers_to_searches_sent_after_its_delete() -> None:
    ledger = Ledger()
    ledger.acknowledge("d", 1, at=10.0)
    ledger.acknowledge("d", 0, at=20.0)
    hits = [("d", {REVISION: 1}), ("other", {})]
    assert ledger.wrong(hits, sent_at=20.0) == []
    assert ledger.wrong(hits, sent_at=20.1) == [("deleted", "d")]
    assert ledger.deleted() == ["d"]


def test_older_content_is_wrong_and_newer_content_is_not() -> None:
    ledger = Ledger()
    ledger.acknowledge("d", 7, at=10.0)
    assert ledger.wrong([("d", {REVISION: 6})], sent_at=11.0) == [("outdated", "d")]
    assert ledger.wrong([("d", {})], sent_at=11.0) == [("outdated", "d")]
    assert ledger.wrong([("d", {REVISION: 8})], sent_at=11.0) == []
    assert ledger.live() == {"d": 7}


def test_nothing_is_claimed_of_a_document_whose_write_failed() -> None:
    ledger = Ledger()
    ledger.acknowledge("d", 0, at=10.0)
    ledger.doubt("d")
    assert ledger.wrong([("d", {})], sent_at=11.0) == []
    assert ledger.deleted() == []
    assert ledger.live() == {}
