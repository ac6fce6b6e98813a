"""`python -m benchmarks.soak`: mixed load for a long time, on Milvus, PostgreSQL and Valkey.

Writes `soak.json` and `soak.png`, from time to time while it goes on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import command, labels, parts, soak_checks, soak_figures, soak_picture
from benchmarks.bench_corpus import CORPUS, Bench
from benchmarks.plan import SoakPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from benchmarks.soak_figures import Columns
from benchmarks.soak_traffic import Traffic
from benchmarks.soak_watch import Watch
from embedloop.client import AsyncClient
from embedloop.demo.ontology import Vocabulary
from embedloop.records.jobs import JobKind

CYCLE_AT = 1 / 3
# The gate is open and no cycle starts by itself: one cycle, and its promotion under load, is what is looked at.
POLICY = {
    "splits": {"golden": 0.0, "dev": 0.1},
    "trigger": {"new_feedback": None, "min_pairs": 10},
    "training": {"max_tokens": 64, "evaluations": 2, "time_budget_seconds": 600.0},
    "gate": {"min_uplift": -1.0, "min_queries": 5},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the soak; returns the exit code."""
    parser = command.parser("soak", __doc__)
    parser.add_argument("--minutes", type=float, help=f"length of the load (default {SoakPlan().minutes:g})")
    options = parser.parse_args(arguments)
    plan = SoakPlan.quick() if options.quick else SoakPlan()
    plan = replace(plan, minutes=options.minutes or plan.minutes, terms=options.terms or plan.terms)
    return command.run(lambda: run(plan, command.folder_of(options)))


def run(plan: SoakPlan, folder: Path) -> None:
    """Starts everything, loads it, checks every document, stops everything."""
    vocabulary = command.vocabulary(plan.terms)
    settings = command.settings_of(vocabulary) | {"plan": asdict(plan)}
    report = Report("soak", folder, settings, soak_picture.draw)
    with parts.running(parts.PRODUCTION, policy=POLICY) as bench:
        bench.ingest(vocabulary.terms)
        labels.label(bench.client, CORPUS, vocabulary, plan.training_pairs, plan.golden_queries)
        asyncio.run(_soak(bench, vocabulary, plan, report))
    report.finish()
    _show(report.content)


async def _soak(bench: Bench, vocabulary: Vocabulary, plan: SoakPlan, report: Report) -> None:
    say(f"load for {plan.minutes:g} minutes")
    async with AsyncClient(bench.stack.url, bench.stack.admin_key, retries=0) as client:
        traffic = Traffic(client, vocabulary.train, command.spare_terms(vocabulary))
        watch = Watch(bench, traffic, report, plan.window_seconds)
        seconds = 60 * plan.minutes
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.go_on())
            cycle = group.create_task(_start_cycle(client, watch, CYCLE_AT * seconds))
            await traffic.go_on(seconds, plan.searches, plan.writes, plan.feedback)
            await cycle
            watching.cancel()
        say("checking every document")
        await soak_checks.wait_until_applied(bench.client)
        checked = await soak_checks.check(client, traffic, vocabulary.terms)
        traffic.wrong.update({f"at the end: {name}": count for name, count in checked["wrong"].items()})
    report.keep("cycle", watch.cycle)
    report.keep("checked", checked)
    report.keep("done", dict(traffic.done))
    report.keep("restarts", watch.restarts)
    report.keep("summary", soak_figures.summary(watch.windows, watch.cycle, traffic.errors, traffic.wrong))
    report.keep("windows", watch.windows)


async def _start_cycle(client: AsyncClient, watch: Watch, after_seconds: float) -> None:
    await asyncio.sleep(after_seconds)
    say("starting a cycle")
    watch.follow(await client.submit_job(JobKind.CYCLE.value, CORPUS))


def _show(found: dict[str, Any]) -> None:
    summary = found["summary"]
    rows: list[list[object]] = [
        [name, value] for name, value in (*found["done"].items(), *summary["latency_thirds"].items())
    ]
    rows += [[f"error, {name}", count] for name, count in summary["errors"].items()]
    rows += [[f"wrong, {name}", count] for name, count in summary["wrong_answers"].items()]
    show(f"Soak, {found['settings']['plan']['minutes']:g} minutes", ["what", "value"], rows)
    windows: Columns = found["windows"]
    memory: list[list[object]] = [
        [name, column[0], column[-1], summary["growth_mib_per_hour"].get(name)]
        for name, column in windows["mib"].items()
    ]
    show("Memory", ["process", "MiB at the begin", "MiB at the end", "MiB an hour"], memory)


if __name__ == "__main__":
    sys.exit(main())
