"""The report of the roads: its table, its picture, its list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import roads_page, roads_picture
from benchmarks.plan import RoadsPlan
from benchmarks.roads_list import ROADS
from benchmarks.roads_measure import Reached, told_of
from training.evaluation import score_run

METRICS = ("precision@5", "hit@5", "ndcg@10")


def reached(found: str, training_cpu_seconds: float) -> Reached:
    qrels = {f"q{n}": {f"d{n}": 1} for n in range(20)}
    run = {query: [found.format(query[1:]), "d0"] for query in qrels}
    cost = {
        "training_cpu_seconds": training_cpu_seconds,
        "passage_cpu_ms": None,
        "query_ms": 4.2,
        "dimension": 384,
        "model_mb": 91.0,
    }
    return Reached(score_run(run, qrels, METRICS), cost, {"notes": ["a note"]})


@pytest.fixture
def report() -> dict[str, Any]:
    base, better = reached("x{}", 0.0), reached("d{}", 75.0)
    roads = {
        "base": {"title": "base model"} | told_of(base, base.scores),
        "finetune": {"title": "fine-tuned"} | told_of(better, base.scores),
    }
    one = {"documents": 1500, "queries": {"train": 1000, "dev": 150, "golden": 20}, "roads": roads}
    return {
        "machine": {"cores": 2, "cpu": "a processor"},
        "measured": {"at": "2026-11-24T12:00:00+00:00", "commit": "0123456789abcdef", "dirty": False},
        "settings": {"base_model": "all-MiniLM-L6-v2"},
        "sets": {"hpo": one},
    }


def test_table_tells_quality_gain_and_cost_of_each_road(report: dict[str, Any]) -> None:
    *_, base, tuned, _ = roads_page.tables(report).split("\n")
    assert base.startswith("| base model | 0.0")
    assert tuned.startswith("| fine-tuned | 1.000 (1.000 to 1.000) | +0.9")
    assert tuned.endswith("* | 1.000 | 75 s |  | 4.20 ms | 384 | 91.0 |")


def test_what_a_road_tells_beside_its_figures_is_kept(report: dict[str, Any]) -> None:
    assert report["sets"]["hpo"]["roads"]["finetune"]["notes"] == ["a note"]


def test_picture_is_drawn_where_a_cost_is_nothing_or_unknown(report: dict[str, Any], tmp_path: Path) -> None:
    roads_picture.draw(report, tmp_path / "roads.png")
    assert (tmp_path / "roads.png").read_bytes().startswith(b"\x89PNG")


def test_page_holds_the_marks_that_figures_go_between() -> None:
    page = roads_page.PAGE.read_text(encoding="utf-8")
    assert roads_page.filled(page, "figures").count("figures: ") == 2


def test_every_road_has_a_name_of_its_own_and_leads_over_a_set_of_the_plan() -> None:
    assert len({road.name for road in ROADS}) == len(ROADS)
    sets = RoadsPlan().sizes
    assert all(any(road.leads(name) for name in sets) for road in ROADS)
