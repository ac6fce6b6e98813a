"""The picture of `search.json`: latency, throughput, and both against the offered load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.picture import (
    BARE,
    INK,
    OURS,
    PLAIN,
    bars,
    figure_of,
    finish,
    heading,
    milvus_of,
    verdict_table,
)
from benchmarks.plan import OPEN_SHARES

SIDES = (("ours", OURS), ("plain", PLAIN))
NAMES = {"ours": "Embedloop", "plain": "plain service"}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the whole report."""
    figure, panels = figure_of(3, 2, height=11.0)
    _latency(panels[0, 0], report)
    _throughput(panels[0, 1], report)
    _goodput(panels[1, 0], report)
    _loaded_latency(panels[1, 1], report)
    _outcome(panels[2, 0], report)
    verdict_table(panels[2, 1], report["ratios"])
    settings = report["settings"]
    title = f"Search: {settings['terms']:,} documents, {settings['base_model']}, {milvus_of(report)}"
    finish(figure, title, report, path)


def _latency(axes: Any, report: Mapping[str, Any]) -> None:
    single = report["floor"]["single"]["latency_ms"]
    runs = [("floor: encode + search", single, BARE)]
    runs += [(NAMES[side], report[side]["closed"][0]["latency_ms"], colour) for side, colour in SIDES]
    names = [f"{name}\np50 {run['p50']:.0f}, p99 {run['p99']:.0f}" for name, run, _ in runs]
    values = [run["p50"] for _, run, _ in runs]
    over = [[0.0] * len(runs), [run["p99"] - run["p50"] for _, run, _ in runs]]
    axes.bar(
        range(len(runs)), values, 0.6, color=[colour for *_, colour in runs], yerr=over, ecolor=INK, capsize=4
    )
    axes.set_xticks(range(len(runs)), names)
    axes.set_ylabel("ms")
    heading(axes, "Latency of one client: p50 (bar) to p99 (line)")


def _throughput(axes: Any, report: Mapping[str, Any]) -> None:
    batched = report["floor"]["batched"]
    drawn = [(f"floor:\nbatches of {batched['batch']}", batched["requests_per_second"], BARE)]
    for side, colour in SIDES:
        drawn.append((NAMES[side], report[side]["closed"][-1]["requests_per_second"], colour))
    bars(axes, drawn, unit="searches/s")
    heading(axes, f"Throughput of {report['ours']['closed'][-1]['clients']} clients")


def _goodput(axes: Any, report: Mapping[str, Any]) -> None:
    for side, colour in SIDES:
        opened = report[side]["open"]
        rates = [level["rate"] for level in opened]
        answered = [level["requests_per_second"] for level in opened]
        axes.plot(rates, answered, color=colour, marker="o", markersize=4, label=NAMES[side])
    most = max(level["rate"] for side, _ in SIDES for level in report[side]["open"])
    axes.plot([0, most], [0, most], color=INK, linewidth=1, linestyle="--", label="all answered")
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.set_xlabel("searches sent a second (open loop)")
    axes.set_ylabel("searches answered a second")
    axes.legend(frameon=False, fontsize=8)
    heading(axes, "Goodput against offered load")


def _loaded_latency(axes: Any, report: Mapping[str, Any]) -> None:
    for side, colour in SIDES:
        opened = [level for level in report[side]["open"] if level["latency_ms"]]
        shares = [level["share"] for level in opened]
        for name, style in (("p50", "-"), ("p99", ":")):
            values = [level["latency_ms"][name] for level in opened]
            axes.plot(
                shares, values, style, color=colour, marker="o", markersize=4, label=f"{NAMES[side]}, {name}"
            )
    axes.set_yscale("log")
    axes.set_xticks(OPEN_SHARES)
    axes.set_xlabel("offered load, as a share of the service's own throughput with 32 clients")
    axes.set_ylabel("ms from the intended time (log)")
    axes.legend(frameon=False, fontsize=8)
    heading(axes, "Latency of the answered searches against offered load")


def _outcome(axes: Any, report: Mapping[str, Any]) -> None:
    """What became of the searches sent, as shares."""
    ticks = []
    for number, (side, colour) in enumerate(SIDES):
        for place, level in enumerate(report[side]["open"]):
            at = number * (len(report[side]["open"]) + 1) + place
            sent = max(1, level["offered"])
            answered = level["requests"] / sent
            refused = level["errors"].get("status 429", 0) / sent
            axes.bar(at, answered, color=colour)
            axes.bar(at, refused, bottom=answered, color="#e6c229")
            axes.bar(at, max(0.0, 1 - answered - refused), bottom=answered + refused, color=INK)
            ticks.append((at, f"{level['share']:g}"))
    axes.set_xticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.set_xlabel("offered load, as a share of the service's own throughput with 32 clients")
    axes.set_ylabel("share of the searches sent")
    for label, colour in (
        *((f"{NAMES[side]}: answered", colour) for side, colour in SIDES),
        ("refused with 429", "#e6c229"),
        ("timed out or failed", INK),
    ):
        axes.bar(0, 0, color=colour, label=label)
    axes.set_ylim(0, 1.3)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
    heading(axes, "What became of them")
