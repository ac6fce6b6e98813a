"""The picture of a report: latency, throughput, and what the service keeps of the bare parts' speed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.report import SECTIONS

OURS, BARE, INK, PALE = "#1f6f8b", "#9aa5b1", "#333333", "#e4e7eb"
SHADES = {"p50": "#1f6f8b", "p95": "#6ba3b8", "p99": "#b9d3dd"}
WIDTH = 0.26


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the sections that the report has, one panel below the other's question."""
    figure = Figure(figsize=(12.5, 8.2), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    search = report.get("search")
    if search is None:
        for axes in panels[0]:
            _empty(axes, "search was not measured")
    else:
        _latency(panels[0, 0], search)
        _throughput(panels[0, 1], search)
    _rates(panels[1, 0], report)
    _ratios(panels[1, 1], report)
    machine, settings = report["machine"], report["settings"]
    figure.suptitle(
        f"Embedloop, {settings['terms']:,} documents, {settings['base_model']}; "
        f"{machine['cores']} cores of {machine['cpu']}\n{_when(report)}",
        fontsize=11,
        color=INK,
    )
    partial = path.with_suffix(".partial")
    figure.savefig(partial, format="png")
    partial.replace(path)


def _latency(axes: Any, search: Mapping[str, Any]) -> None:
    levels = [*search["closed"], search["open"]]
    for number, (name, colour) in enumerate(SHADES.items()):
        places = [place + (number - 1) * WIDTH for place in range(len(levels))]
        values = [level["latency_ms"][name] for level in levels]
        bars = axes.bar(places, values, WIDTH, color=colour, label=name)
        axes.bar_label(bars, [f"{value:.0f}" for value in values], fontsize=8, padding=1)
    floor = search["floor"]["single"]["latency_ms"]["p50"]
    axes.axhline(floor, color=INK, linewidth=1, linestyle="--", label=f"floor p50, {floor:.1f} ms")
    axes.set_yscale("log")
    axes.set_ylim(1, 4 * max(level["latency_ms"]["p99"] for level in levels))
    axes.set_xticks(range(len(levels)), [_name(level) for level in levels])
    axes.set_ylabel("ms (log)")
    axes.set_title("Search latency", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left")


def _throughput(axes: Any, search: Mapping[str, Any]) -> None:
    floor = search["floor"]
    bars = [
        ("floor\none by one", floor["single"]["requests_per_second"], BARE),
        (f"floor\nby {floor['batched']['batch']}", floor["batched"]["requests_per_second"], BARE),
        *((_name(level), level["requests_per_second"], OURS) for level in search["closed"]),
    ]
    drawn = axes.bar(
        range(len(bars)), [value for _, value, _ in bars], 0.6, color=[colour for *_, colour in bars]
    )
    axes.bar_label(drawn, [f"{value:.0f}" for _, value, _ in bars], fontsize=9, padding=2)
    axes.set_xticks(range(len(bars)), [name for name, *_ in bars])
    axes.margins(y=0.12)
    axes.set_ylabel("searches/s")
    axes.set_title("Search throughput", fontsize=10, loc="left")


def _rates(axes: Any, report: Mapping[str, Any]) -> None:
    bars = []
    if (section := report.get("reembed")) is not None:
        rates = section["documents_per_second"]
        bars.append(("bare encoder,\ndocuments/s", section["bare"]["documents_per_second"], BARE))
        bars.append(("re-embed,\nstage embed", rates["embed"], OURS))
        bars.append(("re-embed,\nwhole job", rates["job"], OURS))
    if (section := report.get("training")) is not None:
        bars.append(("bare trainer,\npairs/s", section["bare"]["pairs_per_second"], BARE))
        bars.append(("training", section["ours"]["pairs_per_second"], OURS))
    if not bars:
        _empty(axes, "neither re-embedding nor training was measured")
        return
    bars.reverse()
    names, values, colours = zip(*bars, strict=True)
    drawn = axes.barh(names, values, 0.55, color=colours)
    axes.bar_label(drawn, [f"{value:.3g}" for value in values], fontsize=9, padding=3)
    axes.margins(x=0.12)
    axes.set_xlabel("documents/s, pairs/s")
    axes.set_title("Re-embedding and training", fontsize=10, loc="left")


def _ratios(axes: Any, report: Mapping[str, Any]) -> None:
    """Every ratio as a share of the bare part's speed, so that more is always better."""
    bars = []
    if (section := report.get("search")) is not None:
        ratios = section["ratios"]
        bars.append(("search speed,\n1 client", 1 / ratios["p50_1_to_floor"]))
        bars.append(("search throughput,\n32 clients", ratios["throughput_32_to_floor_batched"]))
    if (section := report.get("reembed")) is not None:
        bars.append(("re-embed,\nstage embed", section["ratios"]["embed_to_bare"]))
        bars.append(("re-embed,\nwhole job", section["ratios"]["job_to_bare"]))
    if (section := report.get("training")) is not None:
        bars.append(("training", section["ratios"]["pairs_per_second"]))
    bars.reverse()
    drawn = axes.barh([name for name, _ in bars], [value for _, value in bars], 0.55, color=OURS)
    axes.bar_label(drawn, [f"{value:.2f}" for _, value in bars], fontsize=9, padding=3)
    axes.axvline(1.0, color=INK, linewidth=1, linestyle="--")
    axes.set_xlim(0, max(1.15, *(1.15 * value for _, value in bars)))
    axes.set_xlabel("share of the bare part's speed (1 = as fast)")
    axes.set_title("What the service keeps of the bare speed", fontsize=10, loc="left")


def _name(level: Mapping[str, Any]) -> str:
    if "clients" in level:
        return f"{level['clients']} client{'s' * (level['clients'] > 1)}"
    return f"open loop\n{level['rate']:.0f}/s"


def _when(report: Mapping[str, Any]) -> str:
    """Date and commit of each measured run, once where several sections share them."""
    moments = [report[name]["measured"] for name in SECTIONS if name in report]
    return "; ".join(dict.fromkeys(f"{one['at'][:10]}, commit {one['commit'][:10] or '?'}" for one in moments))


def _empty(axes: Any, reason: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, reason, ha="center", va="center", fontsize=9, color=INK)
