"""`python -m benchmarks.search`: the search route beside its bare parts and beside a plain service.

Writes `search.json` and `search.png`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import bench_corpus, child, command, engines, levels, plain, search_picture, verdicts
from benchmarks.bench_corpus import Bench
from benchmarks.engines import Engine
from benchmarks.figures import ratio
from benchmarks.plain import PlainService
from benchmarks.plan import SEED, TOP_K, SearchPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from embedloop.demo.ontology import Vocabulary
from embedloop.policy import IndexSettings
from embedloop.settings import Settings

BATCH = 32
Cases = Sequence[tuple[str, str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = command.parser("search", __doc__)
    command.add_milvus(parser)
    plain.add_packages(parser)
    options = parser.parse_args(arguments)
    plan = SearchPlan.quick() if options.quick else SearchPlan()
    if options.terms:
        plan = replace(plan, terms=options.terms)
    return command.run(
        lambda: run(plan, options.milvus, plain.checked(options.plain_packages), command.folder_of(options))
    )


def run(plan: SearchPlan, milvus: str, packages: Path, folder: Path) -> None:
    """Ours first, then, with its stack stopped, the plain service on the same Milvus."""
    vocabulary = command.vocabulary(plan.terms)
    cases = [(c.query, c.term_id) for c in (*vocabulary.train, *vocabulary.golden, *vocabulary.test)]
    settings = command.settings_of(vocabulary) | {"queries": len(cases), "plan": asdict(plan)}
    report = Report("search", folder, settings, search_picture.draw)
    with engines.running(milvus) as engine:
        report.keep("milvus", {"kind": engine.kind, "version": engine.version})
        _measure_ours(engine, vocabulary, cases, plan, report)
        _measure_plain(PlainService(packages, engine), vocabulary, cases, plan, report)
    report.keep("ratios", ratios(report.content))
    report.finish()
    _show(report.content)


def ratios(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What ours costs beside the bare parts, and what it gains on the plain service."""
    floor, ours, plain_service = found["floor"], found["ours"]["closed"], found["plain"]["closed"]
    most, most_plain = ours[-1]["requests_per_second"], plain_service[-1]["requests_per_second"]
    p50 = ours[0]["latency_ms"]["p50"]
    return {
        "p50_of_1_client_to_floor": verdicts.judged(
            ratio(p50, floor["single"]["latency_ms"]["p50"]), at_most=1.35
        ),
        "throughput_of_32_clients_to_batched_floor": verdicts.judged(
            ratio(most, floor["batched"]["requests_per_second"]), at_least=0.6
        ),
        "throughput_of_32_clients_to_plain_service": verdicts.judged(ratio(most, most_plain), at_least=5.0),
        "p50_of_1_client_to_plain_service": verdicts.judged(ratio(p50, plain_service[0]["latency_ms"]["p50"])),
        "goodput_at_twice_the_load_to_most": verdicts.judged(
            ratio(found["ours"]["open"][-1]["requests_per_second"], most)
        ),
        "goodput_of_plain_service_at_twice_the_load_to_most": verdicts.judged(
            ratio(found["plain"]["open"][-1]["requests_per_second"], most_plain)
        ),
    }


def _measure_ours(
    engine: Engine, vocabulary: Vocabulary, cases: Cases, plan: SearchPlan, report: Report
) -> None:
    with bench_corpus.running(engine) as bench:
        bench.ingest(vocabulary.terms)
        bench.seal()
        say("bare encode and search, one process")
        report.keep("floor", _floor(bench, cases, plan))
        levels.measure(bench.target(), cases, plan, lambda section: report.keep("ours", section))


def _measure_plain(
    service: PlainService, vocabulary: Vocabulary, cases: Cases, plan: SearchPlan, report: Report
) -> None:
    say(f"plain service: adding {len(vocabulary.terms)} terms")
    added = service.ingest(vocabulary.terms)
    say("starting the plain service")
    with service.running() as target:
        levels.measure(
            target,
            cases,
            plan,
            lambda section: report.keep("plain", {"packages": added["packages"]} | section),
        )


def _floor(bench: Bench, cases: Cases, plan: SearchPlan) -> dict[str, Any]:
    return child.measure(
        "benchmarks.floor",
        bench.bare_parts()
        | {
            "what": "search",
            "threads": Settings().encoder_threads,
            "cases": cases,
            "seed": SEED,
            "top_k": TOP_K,
            "ef_search": IndexSettings().ef_search,
            "requests": plan.floor_requests,
            "warm_up_requests": min(100, plan.floor_requests),
            "batch": BATCH,
        },
    )


def _show(found: dict[str, Any]) -> None:
    columns = ["search", "p50 ms", "p95 ms", "p99 ms", "answered/s", "429", "other errors", "CPU ms a search"]
    alone, batched = found["floor"]["single"], found["floor"]["batched"]
    percentiles = [alone["latency_ms"][name] for name in ("p50", "p95", "p99")]
    cpu = {name: sum(run["cpu_ms_per_request"].values()) for name, run in found["floor"].items()}
    rows: list[list[object]] = [
        ["floor, one by one", *percentiles, alone["requests_per_second"], None, None, cpu["single"]],
        ["floor, by 32", None, None, None, batched["requests_per_second"], None, None, cpu["batched"]],
        *levels.table("ours", found["ours"]),
        *levels.table("plain", found["plain"]),
    ]
    show(f"Search, {found['settings']['terms']} documents", columns, rows)
    show("Search, ratios", ["ratio", "value", "aim", "met"], verdicts.rows(found["ratios"]))


if __name__ == "__main__":
    sys.exit(main())
