"""The levels of load that ours and the plain service are put under, the same for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import child
from benchmarks.machine import cpu_seconds
from benchmarks.plan import CLIENTS, OPEN_SHARES, SEED, TOP_K, SearchPlan
from benchmarks.progress import say

Section = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A search route, and the servers whose CPU time its searches take (name -> process id)."""

    url: str
    path: str
    key: str
    pids: Mapping[str, int]


def measure(
    target: Target, cases: Sequence[Sequence[str]], plan: SearchPlan, keep: Callable[[Section], None]
) -> Section:
    """Closed loop at each number of clients, then open loop at shares of what the most clients reached.

    Args:
        target: What is searched.
        cases: Queries with the id of the one right document.
        plan: How long.
        keep: Given what there is so far after each level.
    """
    section: Section = {"closed": [], "open": []}
    base = base_of(target, cases, plan.warm_up_seconds, plan.timeout_seconds)
    window = {k: v for k, v in asdict(plan).items() if k in ("least_requests", "least_seconds", "most_seconds")}
    for clients in CLIENTS:
        say(f"closed loop, {clients} client{'s' * (clients > 1)}")
        section["closed"].append(_level(target, base | window | {"clients": clients}))
        keep(section)
    reached = section["closed"][-1]["requests_per_second"]
    for share in OPEN_SHARES:
        # A service that answered nothing is asked once a second, to show that.
        rate = max(1.0, share * reached)
        say(f"open loop, {rate:.1f} searches a second")
        level = _level(target, base | {"rate": rate, "seconds": plan.open_seconds})
        section["open"].append({"share": share} | level)
        keep(section)
    return section


def base_of(
    target: Target, cases: Sequence[Sequence[str]], warm_up_seconds: float, timeout_seconds: float
) -> dict[str, Any]:
    """The configuration of the load generator, without the level."""
    return {
        "url": target.url,
        "path": target.path,
        "key": target.key,
        "top_k": TOP_K,
        "cases": [list(case) for case in cases],
        "seed": SEED,
        "warm_up_seconds": warm_up_seconds,
        "timeout_seconds": timeout_seconds,
    }


def _level(target: Target, config: dict[str, Any]) -> Section:
    """One level, with the CPU time that each server used for it, idle work of theirs included."""
    before = {name: cpu_seconds(pid) for name, pid in target.pids.items()}
    figures = child.measure("benchmarks.load", config)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in target.pids.items()}
    # The servers' time covers the warm-up too, so it is shared among all searches that were sent.
    sent = figures.pop("sent_in_all")
    return figures | {"cpu_ms_per_request": {name: round(1000 * one / sent, 3) for name, one in used.items()}}


def table(name: str, section: Section) -> list[list[object]]:
    """The levels as rows: level, p50, p95, p99, answered a second, 429, other errors, CPU ms a search."""
    return [
        [
            f"{name}, {named(level)}",
            *(level["latency_ms"][one] if level["latency_ms"] else None for one in ("p50", "p95", "p99")),
            level["requests_per_second"],
            level["errors"].get("status 429", 0),
            sum(count for error, count in level["errors"].items() if error != "status 429"),
            sum(level["cpu_ms_per_request"].values()),
        ]
        for level in (*section["closed"], *section["open"])
    ]


def named(level: Mapping[str, Any]) -> str:
    """A level in words."""
    if "clients" in level:
        return f"{level['clients']} client{'s' * (level['clients'] > 1)}"
    return f"open, {level['rate']:.0f}/s"
