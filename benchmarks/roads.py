"""`python -m benchmarks.roads`: what each road to a better vector brings on a data set, and what it costs.

Every road begins with the same base model, the same labelled pairs and the same passages. Writes `roads.json`
after each road, at the end `roads.png` and the table in `docs/which-road-when.md`. Costs are CPU seconds, so
that they hardly depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import command, roads_page, roads_picture, training_sets
from benchmarks.plan import SEED, RoadsPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from benchmarks.roads_list import ROADS
from benchmarks.roads_measure import told_of
from benchmarks.roads_walk import Walk
from benchmarks.training import DATA
from embedloop.policy import DEFAULT_BASE_MODEL


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roads", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test; its figures mean nothing")
    parser.add_argument(
        "--out", help=f"folder of the report (default {command.RESULTS}, with --quick a temporary one)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of BEIR folders (default {DATA})")
    parser.add_argument("--roads", help="names, with commas between them (default all)")
    parser.add_argument("--sets", help="names, with commas between them (default all of the plan)")
    parser.add_argument(
        "--keep", action="store_true", help="keep the roads of the report that are not asked for, as they are"
    )
    options = parser.parse_args(arguments)
    plan = RoadsPlan.quick() if options.quick else RoadsPlan()
    return command.run(lambda: run(options, plan, command.folder_of(options)))


def run(options: argparse.Namespace, plan: RoadsPlan, folder: Path) -> None:
    """Goes every road on every set and writes the report.

    Raises:
        InvalidInput: A set is not there.
    """
    settings = {"base_model": DEFAULT_BASE_MODEL, "seed": SEED, "plan": asdict(plan)}
    report = Report("roads", folder, settings, roads_picture.draw)
    sets: dict[str, Any] = kept(folder / "roads.json") if options.keep else {}
    for name in options.sets.split(",") if options.sets else plan.sizes:
        ranking = training_sets.load(name, options.data, plan.sizes[name])
        sets[name] = {
            "documents": len(ranking.documents),
            "queries": {str(split): len(ranking.qrels[split]) for split in training_sets.SPLITS},
            "roads": sets.get(name, {}).get("roads", {}),
        }
        with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as scratch:
            walk = Walk(ranking, Path(scratch), plan)
            for road in ROADS:
                if (options.roads and road.name not in options.roads.split(",")) or not road.leads(name):
                    continue
                say(f"{name}: {road.title}")
                found = road.go(walk)
                sets[name]["roads"][road.name] = {"title": road.title} | told_of(
                    found, walk.base_reached.scores
                )
                report.keep("sets", sets)
            walk.close()
    report.finish()
    roads_page.write(report.content, folder)
    _show(report.content)


def kept(path: Path) -> dict[str, Any]:
    """The sets of an earlier report; each road tells its own commit."""
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["sets"]
    return found


def _show(report: dict[str, Any]) -> None:
    rows: list[list[object]] = []
    for name, one in report["sets"].items():
        for road in one["roads"].values():
            cost = road["cost"]
            rows.append(
                [
                    f"{name}, {road['title']}",
                    road["metrics"]["ndcg@10"]["mean"],
                    road["over_base"]["ndcg@10"]["mean"],
                    cost["training_cpu_seconds"],
                    cost["passage_cpu_ms"],
                    cost["query_ms"],
                ]
            )
    show("Roads", ["road", "nDCG@10", "over base", "training CPU s", "CPU ms a passage", "query ms"], rows)


if __name__ == "__main__":
    sys.exit(main())
