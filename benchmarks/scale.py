"""`python -m benchmarks.scale`: re-embeds many documents with one and with two workers, beside bare insertion.

The model costs next to nothing, so that the pipeline around it is measured. Writes `scale.json` and
`scale.png`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks import child, command, parts, reindex, scale_model, scale_picture, soak_checks, verdicts
from benchmarks.bench_corpus import CORPUS, Bench, check_stored, check_succeeded
from benchmarks.figures import ratio
from benchmarks.machine import cpu_seconds
from benchmarks.memory import MemoryWatch
from benchmarks.plan import SEED, ScalePlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from embedloop.applier import PASSAGES_PER_ROUND
from embedloop.settings import Settings

JOB_SECONDS = 300.0
# Of a process that works on the larger corpus, over the same one on the smaller.
GROWTH_MIB = 25.0
OWN = ("service", "apply", "default", "embed-1", "embed-2", "beat")
# A version that was replaced follows the log no longer, so that the second filling is applied once.
POLICY = {"rollback_window_seconds": 0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = command.parser("scale", __doc__)
    parts.add_parts(parser)
    options = parser.parse_args(arguments)
    plan = ScalePlan.quick() if options.quick else ScalePlan()
    if options.terms:
        plan = replace(plan, documents=options.terms, first=-(-options.terms // 4))
    return command.run(lambda: run(plan, options.parts, command.folder_of(options)))


def run(plan: ScalePlan, kind: str, folder: Path) -> None:
    """Fills, re-embeds, fills further, re-embeds with one and with two workers, then inserts without us."""
    settings = {
        "plan": asdict(plan),
        "parts": kind,
        "model": scale_model.DESCRIPTION,
        "dimension": scale_model.DIMENSION,
        "rows_per_message": PASSAGES_PER_ROUND,
        "shard_documents": Settings().shard_documents,
        "seed": SEED,
    }
    report = Report("scale", folder, settings, scale_picture.draw)
    with (
        tempfile.TemporaryDirectory(prefix="embedloop-scale-model-") as model,
        parts.running(kind, with_corpus=False) as bench,
        MemoryWatch(bench.pids) as watch,
    ):
        report.keep("milvus", {"kind": bench.engine.kind, "version": bench.engine.version})
        base = scale_model.build(Path(model))
        created = bench.client.create_corpus(CORPUS, base_model=str(base), policy=POLICY)
        check_succeeded(bench.client.wait_for_job(created["job"], JOB_SECONDS))
        _measure(bench, watch, plan, report)
    report.keep("ratios", ratios(report.content))
    report.finish()
    _show(report.content)


class Phases:
    """The phases of the run, each kept in the report with the memory at its end and the most within it."""

    def __init__(self, watch: MemoryWatch, report: Report):
        self._watch = watch
        self._report = report
        self._ended: list[dict[str, Any]] = []

    @contextmanager
    def phase(self, name: str, documents: int) -> Iterator[None]:
        """One phase: `name`, and how many documents there are at its end."""
        begin = self._watch.seconds
        with self._watch.phase(name) as seen:
            yield
        self._ended.append({"documents": documents, "from": begin, "until": self._watch.seconds} | seen)
        self._report.keep("phases", self._ended)
        self._report.keep("memory", self._watch.columns())


def _measure(bench: Bench, watch: MemoryWatch, plan: ScalePlan, report: Report) -> None:
    phases = Phases(watch, report)
    ingests: list[dict[str, Any]] = []
    jobs: list[dict[str, Any]] = []
    with phases.phase("idle", 0):
        Event().wait(plan.idle_seconds)
    for first, last, counts in ((0, plan.first, (1,)), (plan.first, plan.documents, (1, 2))):
        with phases.phase("ingest", last):
            ingests.append(ingest(bench, first, last))
        report.keep("ingest", ingests)
        for workers in counts:
            if workers > bench.stack.workers:
                bench.stack.add_worker()
            with phases.phase(f"re-embed, {workers}", last):
                jobs.append(reembed(bench, last, workers))
            report.keep("reembed", jobs)
    say(f"bare insertion, {plan.documents} rows")
    config = bench.bare_parts() | {"documents": plan.documents, "message_rows": PASSAGES_PER_ROUND}
    with phases.phase("bare", plan.documents):
        bare = child.measure("benchmarks.scale_bare", config | {"threads": Settings().embed_threads})
    report.keep("bare", bare)


def ingest(bench: Bench, first: int, last: int) -> dict[str, Any]:
    """Stores documents `first`..`last` by `documents:bulk`, and waits until the serving version has them."""
    say(f"ingesting {last - first} documents")
    begin = time.perf_counter()
    check_stored(bench.client.bulk_documents(CORPUS, islice(scale_model.documents(last), first, None)))
    stored = time.perf_counter() - begin
    asyncio.run(soak_checks.wait_until_applied(bench.client))
    applied = time.perf_counter() - begin
    count = last - first
    return {
        "documents": count,
        "seconds": {"stored": round(stored, 2), "applied": round(applied, 2)},
        "documents_per_second": {"stored": round(count / stored, 1), "applied": round(count / applied, 1)},
    }


def reembed(bench: Bench, documents: int, workers: int) -> dict[str, Any]:
    """The job while nobody searches; with the CPU time of the workers that embed."""
    names = [f"embed-{number}" for number in range(1, workers + 1)]
    before = [cpu_seconds(bench.stack.pid(name)) for name in names]
    spans = reindex.run_reindex(bench)
    used = sum(cpu_seconds(bench.stack.pid(name)) for name in names) - sum(before)
    return {"workers": workers, "cpu_ms_per_row": round(1000 * used / documents, 4)} | reindex.rates(
        spans, documents
    )


def ratios(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the pipeline keeps of the speed of bare insertion, what a second worker adds, and who grows."""
    bare = found["bare"]["rows_per_second"]
    most = max(job["documents"] for job in found["reembed"])
    rates = {
        job["workers"]: job["documents_per_second"] for job in found["reembed"] if job["documents"] == most
    }
    told = {}
    for workers, rate in rates.items():
        told[f"embed_stage_with_{workers}_to_bare"] = verdicts.judged(ratio(rate["embed"], bare))
        told[f"job_with_{workers}_to_bare"] = verdicts.judged(ratio(rate["job"], bare))
    told["embed_stage_with_2_to_1"] = verdicts.judged(ratio(rates[2]["embed"], rates[1]["embed"]))
    return told | growth(found["phases"])


def growth(phases: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """MiB by which the most that each process of ours held is greater on the larger corpus, with one worker."""
    seen = [phase for phase in phases if phase["phase"] == "re-embed, 1"]
    first, last = seen[0]["peak_mib"], seen[-1]["peak_mib"]
    return {
        f"growth_of_{name}_mib": verdicts.judged(round(last[name] - first[name], 1), at_most=GROWTH_MIB)
        for name in OWN
        if name in first and name in last
    }


def _show(found: dict[str, Any]) -> None:
    rows: list[list[object]] = [["bare insertion", found["bare"]["seconds"], found["bare"]["rows_per_second"]]]
    for job in found["reembed"]:
        for span, seconds in job["seconds"].items():
            name = f"{job['documents']} documents, {job['workers']} workers, {span}"
            rows.append([name, seconds, job["documents_per_second"][span]])
    for one in found["ingest"]:
        for span, seconds in one["seconds"].items():
            name = f"ingest of {one['documents']} documents, {span}"
            rows.append([name, seconds, one["documents_per_second"][span]])
    show("Scale", ["what", "s", "rows/s"], rows)
    show("Scale, ratios", ["ratio", "value", "aim", "met"], verdicts.rows(found["ratios"]))


if __name__ == "__main__":
    sys.exit(main())
