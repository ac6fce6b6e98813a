"""Section `search`: the search route under load, beside encoder and Milvus alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks import child
from benchmarks.bench_corpus import CORPUS, Bench
from benchmarks.figures import ratio
from benchmarks.machine import cpu_seconds
from benchmarks.plan import CLIENTS, OPEN_SHARE, SEED, TOP_K, BenchPlan
from benchmarks.progress import say, show
from embedloop.policy import IndexSettings
from embedloop.settings import Settings

BATCH = 32
SERVERS = ("service", "milvus")


def measure(bench: Bench, plan: BenchPlan) -> dict[str, Any]:
    """The floor first, while the stack is idle; then each level of load."""
    vocabulary = bench.vocabulary
    cases = [(c.query, c.term_id) for c in (*vocabulary.train, *vocabulary.golden, *vocabulary.test)]
    say("bare encode and search, one process")
    floor = child.measure(
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
            "milvus_pid": bench.stack.pid("milvus"),
        },
    )
    base = {"url": bench.stack.url, "key": bench.stack.admin_key, "corpus": CORPUS, "top_k": TOP_K}
    base |= {"cases": cases, "seed": SEED, "warm_up_seconds": plan.warm_up_seconds}
    window = {k: v for k, v in asdict(plan).items() if k in ("least_requests", "least_seconds", "most_seconds")}
    closed = []
    for clients in CLIENTS:
        say(f"closed loop, {clients} clients")
        closed.append(_level(bench, base | window | {"clients": clients}))
    rate = OPEN_SHARE * closed[-1]["requests_per_second"]
    say(f"open loop, {rate:.1f} searches a second")
    opened = _level(bench, base | {"rate": rate, "seconds": plan.open_seconds})
    alone, batched = floor["single"], floor["batched"]
    section = {
        "queries": len(cases),
        "closed": closed,
        "open": opened,
        "floor": floor,
        "ratios": {
            "p50_1_to_floor": ratio(closed[0]["latency_ms"]["p50"], alone["latency_ms"]["p50"]),
            "throughput_32_to_floor_batched": ratio(
                closed[-1]["requests_per_second"], batched["requests_per_second"]
            ),
            "throughput_32_to_floor_single": ratio(
                closed[-1]["requests_per_second"], alone["requests_per_second"]
            ),
            "cpu_32_to_floor_batched": ratio(
                sum(closed[-1]["cpu_ms_per_request"].values()), sum(batched["cpu_ms_per_request"].values())
            ),
        },
    }
    _show(section)
    return section


def _level(bench: Bench, config: dict[str, Any]) -> dict[str, Any]:
    """One level, with the CPU time that each server used for it, idle work of theirs included."""
    pids = {name: bench.stack.pid(name) for name in SERVERS}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    figures = child.measure("benchmarks.load", config)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    # The servers' time covers the warm-up too, so it is shared among all requests that were sent.
    sent = figures.pop("sent_in_all")
    return figures | {"cpu_ms_per_request": {name: round(1000 * one / sent, 3) for name, one in used.items()}}


def _show(section: dict[str, Any]) -> None:
    columns = ["search", "p50 ms", "p95 ms", "p99 ms", "req/s", "errors", "queue", "encode", "search", "verify"]
    columns += ["CPU ms a request"]
    rows: list[list[object]] = []
    for level in (*section["closed"], section["open"]):
        name = f"{level['clients']} clients" if "clients" in level else f"open, {level['rate']}/s"
        took = level["took_ms_median"]
        rows.append(
            [name, *_percentiles(level), level["requests_per_second"], sum(level["errors"].values())]
            + [took[stage] for stage in ("queue", "encode", "search", "verify")]
            + [sum(level["cpu_ms_per_request"].values())]
        )
    alone, batched = section["floor"]["single"], section["floor"]["batched"]
    for name, run, shown in (
        ("floor, one by one", alone, _percentiles(alone)),
        ("floor, by 32", batched, [None] * 3),
    ):
        parts = [run["encode_ms"]["p50"], run["search_ms"]["p50"]]
        cpu = sum(run["cpu_ms_per_request"].values())
        rows.append([name, *shown, run["requests_per_second"], None, None, *parts, None, cpu])
    show("Search", columns, rows)
    show("Search, ratios", ["ratio", "value"], list(section["ratios"].items()))


def _percentiles(level: dict[str, Any]) -> list[float]:
    return [level["latency_ms"][name] for name in ("p50", "p95", "p99")]
