"""`python -m benchmarks.swap`: searches and writes over two replicas while the corpus moves between models.

Writes `swap.json` and `swap.png`.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import command, parts, swap_figures, swap_models, swap_picture, verdicts
from benchmarks.bench_corpus import Bench
from benchmarks.figures import poisson_schedule
from benchmarks.plan import SEED, SwapPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from benchmarks.swap_models import Part
from benchmarks.swap_moves import Mover
from benchmarks.swap_oracle import TOLERANCE, Oracle
from benchmarks.swap_traffic import Searchers
from benchmarks.swap_watch import LagWatch
from benchmarks.writing import Writer, at_times
from embedloop.client import AsyncClient
from embedloop.demo.ontology import Term, Vocabulary
from embedloop.errors import EmbedloopError

LONGEST_SECONDS = 3600.0
CALL_SECONDS = 90.0
# A writer waits for its answer, so that ten writes a second need one.
WRITES_OF_ONE = 10.0
# Of the queries, so many ask for documents that are written meanwhile.
OWN_NAMES = 0.25


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
            measured[part.corpus] = asyncio.run(_measure(bench, urls, part, vocabulary, plan))
            report.keep("under_load", measured)
    report.keep("verdicts", swap_figures.judged(measured))
    report.finish()
    _show(report.content)


async def _measure(
    bench: Bench, urls: Sequence[str], part: Part, vocabulary: Vocabulary, plan: SwapPlan
) -> dict[str, Any]:
    """One part: load and swaps, then the oracle."""
    spare = command.spare_terms(vocabulary)
    failed: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        connect = partial(AsyncClient, api_key=bench.stack.admin_key, timeout_seconds=CALL_SECONDS)
        # What people do is not repeated, so that each failure is seen.
        people = [await stack.enter_async_context(connect(url, retries=0)) for url in urls]
        operators = [await stack.enter_async_context(connect(url)) for url in urls]
        writers = _writers(people, part, spare, failed)
        searchers = Searchers(
            urls,
            bench.stack.admin_key,
            part.corpus,
            queries_of(vocabulary, spare, plan.queries),
            plan,
            [writer.ledger for writer in writers],
        )
        mover = Mover(operators, part, plan.calm_seconds)
        lag = LagWatch(bench, operators[0], part.corpus)
        say(f"{part.corpus}: {plan.clients} clients, {part.writes:g} writes/s")
        begin = time.perf_counter()
        await _under_load(searchers, writers, part.writes, mover, lag, begin)
        end = time.perf_counter()
    failed.update(f"search: {one.error}" for one in searchers.searches if one.error is not None)
    written = sum((writer.done for writer in writers), Counter())
    dimensions = {model: bench.client.model(model)["dimension"] for model in part.models}
    swaps = swap_figures.swaps_of(mover.swaps, dimensions, begin)
    built = [swap for swap in mover.swaps if swap.spans]
    return {
        "seconds": round(end - begin, 1),
        "models": dimensions,
        "swaps": swap_figures.counted(swaps),
        "swap_seconds": swap_figures.spread([swap.end - swap.begin for swap in mover.swaps]),
        "build_seconds": swap_figures.spread([swap.begin - swap.build_begin for swap in built]),
        "searches": len(searchers.searches),
        "writes": dict(written) | {"a_second": round(written.total() / (end - begin), 1)},
        "errors": dict(failed),
        "wrong": dict(searchers.wrong),
        "oracle": _judge(bench, part, searchers),
        "latency_ms": swap_figures.latencies(
            searchers.searches, mover.swaps, begin + swap_figures.WARM_UP_SECONDS
        ),
        "most": lag.most(),
        "each_swap": swaps,
        "lag": lag.columns,
        "windows": swap_figures.windows(searchers.searches, begin, end),
    }


async def _under_load(
    searchers: Searchers,
    writers: Sequence[Writer],
    writes: float,
    mover: Mover,
    lag: LagWatch,
    begin: float,
) -> None:
    """Ends when the last swap has."""
    async with asyncio.TaskGroup() as group:
        going_on = [group.create_task(searchers.go_on()), group.create_task(lag.go_on())]
        for number, writer in enumerate(writers):
            schedule = poisson_schedule(writes / len(writers), LONGEST_SECONDS, SEED + number)
            going_on.append(group.create_task(_write(writer, begin, schedule)))
        await mover.run()
        for task in going_on:
            task.cancel()


async def _write(writer: Writer, begin: float, schedule: Sequence[float]) -> None:
    async def one(_: float) -> None:
        await writer.write()

    async with asyncio.TaskGroup() as group:
        await at_times(group, begin, schedule, one)


def _writers(
    clients: Sequence[AsyncClient], part: Part, spare: Sequence[Term], failed: Counter[str]
) -> list[Writer]:
    """So many that none has to hurry; each has documents of its own, and writes to one of the replicas."""

    def note(what: str, error: EmbedloopError) -> None:
        failed[f"{what}: {error.code}"] += 1

    count = math.ceil(part.writes / WRITES_OF_ONE)
    return [
        Writer(clients[number % len(clients)], part.corpus, spare[number::count], note)
        for number in range(count)
    ]


def queries_of(vocabulary: Vocabulary, spare: Sequence[Term], count: int) -> list[str]:
    """Synonyms of documents that stay, and names of documents that are written meanwhile."""
    own = int(count * OWN_NAMES)
    synonyms = [case.query for case in vocabulary.train[: count - own]]
    return synonyms + [term.name for term in spare[:own]]


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
