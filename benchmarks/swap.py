"""`python -m benchmarks.swap`: searches and writes over two replicas while the corpus moves between models.

Writes `swap.json` and `swap.png`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import command, parts, swap_figures, swap_load, swap_models, swap_picture, verdicts
from benchmarks.bench_corpus import Bench
from benchmarks.plan import SwapPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from benchmarks.swap_load import Load
from benchmarks.swap_models import Part
from benchmarks.swap_moves import REEMBED
from benchmarks.swap_oracle import TOLERANCE, Oracle
from benchmarks.swap_traffic import Searchers


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = command.parser("swap", __doc__)
    parts.add_parts(parser)
    options = parser.parse_args(arguments)
    plan = SwapPlan.quick() if options.quick else SwapPlan()
    plan = replace(plan, terms=options.terms or plan.terms)
    return command.run(lambda: run(plan, options.parts, command.folder_of(options)))


def run(plan: SwapPlan, kind: str, folder: Path) -> None:
    """Prepares both parts, then puts them under load one after the other."""
    vocabulary = command.vocabulary(plan.terms)
    own = {"plan": asdict(plan), "parts": kind, "replicas": 2, "tolerance": TOLERANCE}
    report = Report("swap", folder, command.settings_of(vocabulary) | own, swap_picture.draw)
    measured: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="embedloop-swap-models-") as models,
        parts.running(kind, with_corpus=False) as bench,
    ):
        report.keep("milvus", {"kind": bench.engine.kind, "version": bench.engine.version})
        say("starting a second replica")
        urls = (bench.stack.url, bench.stack.add_replica())
        prepared = (
            swap_models.tiny(bench, vocabulary, plan, Path(models)),
            swap_models.real(bench, vocabulary, plan),
        )
        for part in prepared:
            load = asyncio.run(swap_load.run(bench, urls, part, vocabulary, plan))
            measured[part.corpus] = _section(bench, part, load)
            report.keep("under_load", measured)
    report.keep("verdicts", swap_figures.judged(measured))
    report.finish()
    _show(report.content)


def _section(bench: Bench, part: Part, load: Load) -> dict[str, Any]:
    """What one part showed, once the oracle has looked at every answer."""
    searches, swaps = load.searchers.searches, load.mover.swaps
    dimensions = {model: bench.client.model(model)["dimension"] for model in part.models}
    told = swap_figures.swaps_of(swaps, dimensions, load.begin)
    since = load.begin + swap_figures.WARM_UP_SECONDS
    return {
        "seconds": round(load.end - load.begin, 1),
        "models": dimensions,
        "swaps": swap_figures.counted(told),
        "swap_seconds": swap_figures.spread([swap.end - swap.begin for swap in swaps]),
        "build_seconds": swap_figures.spread(
            [swap.begin - swap.build_begin for swap in swaps if swap.kind == REEMBED]
        ),
        "searches": len(searches),
        "writes": load.writes(),
        "errors": load.errors(),
        "wrong": dict(load.searchers.wrong),
        "oracle": _judge(bench, part, load.searchers),
        "latency_ms": swap_figures.latencies(searches, swaps, since),
        "most": load.lag.most(),
        "each_swap": told,
        "lag": load.lag.columns,
        "windows": swap_figures.windows(searches, load.begin, load.end),
    }


def _judge(bench: Bench, part: Part, searchers: Searchers) -> dict[str, Any]:
    """Every answer against the encoders of all models of the part."""
    answers = [one.answer for one in searchers.searches if one.answer is not None]
    say(f"{part.corpus}: checking {len(answers)} answers, {len(searchers.texts)} passages")
    built_by = {one["id"]: one["model_version"] for one in bench.client.index_versions(part.corpus)}
    encoders = {model: swap_models.encoder_of(bench, model) for model in {*part.models, *built_by.values()}}
    begin = time.perf_counter()
    oracle = Oracle(encoders, searchers.queries, searchers.texts, built_by)
    found = oracle.judge(answers)
    spent = round(time.perf_counter() - begin, 1)
    return found | {"models": len(encoders), "passages": len(searchers.texts), "seconds": spent}


def _show(found: dict[str, Any]) -> None:
    rows: list[list[object]] = []
    for name, part in found["under_load"].items():
        for phase, figures in part["latency_ms"].items():
            shares = [figures.get(share) for share in ("p50", "p95", "p99", "max")]
            rows.append([f"{name}, {phase}", figures["searches"], *shares])
    show("Latency in ms", ["part, phase", "searches", "p50", "p95", "p99", "max"], rows)
    rows = []
    for name, part in found["under_load"].items():
        rows += [[f"{name}, swaps, {kind}", count] for kind, count in part["swaps"].items()]
        rows.append([f"{name}, s of a swap, median", part["swap_seconds"]["median"]])
        rows.append([f"{name}, s of a re-embed, median", part["build_seconds"]["median"]])
        rows.append([f"{name}, answers checked", part["oracle"]["checked"]])
        rows.append([f"{name}, ambiguous", part["oracle"]["ambiguous"]])
        rows.append([f"{name}, writes/s", part["writes"]["a_second"]])
        rows += [[f"{name}, most of {what}", count] for what, count in part["most"].items()]
        rows += [[f"{name}, error, {kind}", count] for kind, count in part["errors"].items()]
        rows += [[f"{name}, wrong, {kind}", count] for kind, count in part["wrong"].items()]
    show("Swaps", ["what", "value"], rows)
    show("Verdicts", ["what", "value", "aim", "met"], verdicts.rows(found["verdicts"]))


if __name__ == "__main__":
    sys.exit(main())
