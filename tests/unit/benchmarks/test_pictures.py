from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale_picture, search_picture, soak_figures, soak_picture, swap_picture, verdicts
from benchmarks.picture import figure_of, finish
from benchmarks.plan import OPEN_SHARES

PNG = b"\x89PNG"
HEAD: dict[str, Any] = {
    "machine": {"cpu": "a processor", "cores": 2},
    "measured": {"at": "2026-11-22T00:00:00+00:00", "commit": "", "dirty": True},
}


def percentiles(p50: float) -> dict[str, float]:
    return {"p50": p50, "p95": 2 * p50, "p99": 3 * p50}


def side(rate: float) -> dict[str, Any]:
    closed = [
        {"clients": clients, "requests_per_second": rate, "latency_ms": percentiles(9.0)} for clients in (1, 32)
    ]
    opened = [
        {"share": share, "rate": share * rate, "offered": 10, "requests": 9, "errors": {"status 429": 1}}
        | {"requests_per_second": rate, "latency_ms": percentiles(9.0)}
        for share in OPEN_SHARES[:-1]
    ]
    unanswered = {"share": 2.0, "rate": 2 * rate, "offered": 10, "requests": 0, "errors": {"TimeoutError": 10}}
    return {"closed": closed, "open": [*opened, unanswered | {"requests_per_second": 0.0, "latency_ms": None}]}


def test_search_is_drawn_also_where_a_level_was_not_answered_at_all(tmp_path: Path) -> None:
    report = HEAD | {
        "settings": {"terms": 6000, "base_model": "m"},
        "milvus": {"kind": "engine", "version": "2.3.5"},
        "floor": {
            "single": {"latency_ms": percentiles(8.0)},
            "batched": {"batch": 32, "requests_per_second": 99.0},
        },
        "ours": side(80.0),
        "plain": side(20.0),
        "ratios": {"p50_to_floor": verdicts.judged(1.5, at_most=1.35), "other": verdicts.judged(2.0)},
    }
    search_picture.draw(report, tmp_path / "search.png")
    assert (tmp_path / "search.png").read_bytes().startswith(PNG)
    assert [one.name for one in tmp_path.iterdir()] == ["search.png"]


@pytest.mark.parametrize(
    "cycle", [None, {"began_at": 5.0, "ended_at": None}, {"began_at": 5.0, "ended_at": 15.0}]
)
def test_soak_is_drawn_with_gaps_and_however_its_cycle_went(
    tmp_path: Path, cycle: dict[str, Any] | None
) -> None:
    windows = soak_figures.empty_windows()
    for number in range(20):
        soak_figures.add_window(
            windows,
            at=5.0 * number,
            latencies_ms=[] if number == 7 else [10.0, 12.0],
            errors=0,
            lag=None if number == 7 else 1,
            queued=0,
            mib={"service": 100.0} if number != 7 else {},
        )
    report = HEAD | {
        "settings": {"plan": {"searches": 10.0, "writes": 1.0, "feedback": 1.0}},
        "windows": windows,
        "cycle": cycle,
        "summary": soak_figures.summary(windows, cycle, Counter(), Counter()),
    }
    soak_picture.draw(report, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(PNG)


def test_swap_is_drawn_also_where_a_phase_had_no_search(tmp_path: Path) -> None:
    swaps = [
        {"kind": "re-embed", "build_begin": 1.0, "begin": 3.0, "end": 4.0},
        {"kind": "rollback", "build_begin": 6.0, "begin": 6.0, "end": 7.0},
    ]
    part = {
        "seconds": 8.0,
        "models": {"m-1": 32, "m-2": 48},
        "swaps": {"all": 2},
        "writes": {"a_second": 50.0},
        "oracle": {"checked": 1000},
        "latency_ms": {"calm": percentiles(9.0), "building": {"searches": 0}, "swapping": percentiles(11.0)},
        "each_swap": swaps,
        "windows": {"at": [0.5, 1.5], "p50_ms": [9.0, None], "p99_ms": [20.0, None]},
    }
    report = HEAD | {
        "settings": {"parts": "production", "plan": {"clients": 16}},
        "milvus": {"kind": "engine", "version": "2.3.5"},
        "under_load": {"tiny": part, "real": part},
        "verdicts": {"tiny_mixed_answers": verdicts.judged(0, at_most=0)},
    }
    swap_picture.draw(report, tmp_path / "swap.png")
    assert (tmp_path / "swap.png").read_bytes().startswith(PNG)


def test_scale_is_drawn_with_the_memory_of_a_worker_that_came_later(tmp_path: Path) -> None:
    rates = {"embed": 900.0, "embed_to_ready": 700.0, "job": 600.0}
    report = HEAD | {
        "settings": {"parts": "production", "plan": {"documents": 2000}, "dimension": 384},
        "milvus": {"kind": "engine", "version": "2.3.5"},
        "bare": {"rows_per_second": 6000.0},
        "reembed": [
            {"workers": workers, "documents": documents, "documents_per_second": rates}
            for workers, documents in ((1, 500), (1, 2000), (2, 2000))
        ],
        "memory": {
            "at": [0.0, 2.0],
            "mib": {"embed-1": [90.0, 95.0], "embed-2": [None, 90.0], "milvus": [1, 2]},
        },
        "phases": [{"phase": "idle", "documents": 0, "from": 0.0, "until": 2.0}],
        "ratios": {"embed_stage_with_1_to_bare": verdicts.judged(0.2)},
    }
    scale_picture.draw(report, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(PNG)


def test_picture_names_a_commit_that_is_unknown_and_the_changes_on_top(tmp_path: Path) -> None:
    figure, _ = figure_of(1, 1)
    finish(figure, "Title", HEAD, tmp_path / "x.png")
    assert figure.get_suptitle() == "Title\n2 cores of a processor; 2026-11-22, commit ? with changes"
