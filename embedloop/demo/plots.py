"""The pictures of the report, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from embedloop.demo.metrics import Comparison
from embedloop.demo.narrate import StageMark
from embedloop.demo.swap_probe import Sample
from embedloop.errors import MissingExtra

BEFORE, AFTER, FAILED, INK, PALE = "#9aa5b1", "#1f6f8b", "#b3261e", "#333333", "#e4e7eb"
_LANES = 4
_LATE = 0.85
_SECONDS_BEFORE_CYCLE = 30.0


def before_and_after(compared: Mapping[str, Comparison]) -> bytes:
    """Draw a pair of bars for each metric, with its 95 % interval."""
    figure, axes = _figure(8.0, 3.4)
    width = 0.36
    for offset, colour, label, runs in (
        (-width / 2, BEFORE, "before", [numbers.before for numbers in compared.values()]),
        (width / 2, AFTER, "after", [numbers.after for numbers in compared.values()]),
    ):
        places = [place + offset for place in range(len(runs))]
        means = [run.mean for run in runs]
        ends = [[run.mean - run.low for run in runs], [run.high - run.mean for run in runs]]
        axes.bar(places, means, width, color=colour, label=label)
        axes.errorbar(places, means, yerr=ends, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        for place, run in zip(places, runs, strict=True):
            axes.text(place, run.high + 0.015, f"{run.mean:.3f}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(compared)), list(compared))
    highest = max(max(one.before.high, one.after.high) for one in compared.values())
    axes.set_ylim(0, highest + 0.1)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return _png(figure)


def training_curve(curve: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Draw the training loss and, on its own scale, the dev nDCG@10; None when there is nothing to draw.

    Args:
        curve: Points `{step, loss?, dev?}` as a model version's metrics hold them.
    """
    loss = [(point["step"], point["loss"]) for point in curve if point.get("loss") is not None]
    dev = [(point["step"], point["dev"]) for point in curve if point.get("dev") is not None]
    if not loss and not dev:
        return None
    figure, axes = _figure(8.0, 3.0)
    axes.set_xlabel("training step")
    axes.set_ylabel("training loss", color=INK)
    if loss:
        axes.plot(*zip(*loss, strict=True), color=BEFORE, label="training loss")
    if dev:
        right = axes.twinx()
        right.spines["top"].set_visible(False)
        right.plot(*zip(*dev, strict=True), color=AFTER, marker="o", label="dev nDCG@10")
        right.set_ylabel("nDCG@10 on the dev queries", color=AFTER)
        for step, value in dev:
            right.annotate(
                f"{value:.3f}", (step, value), (0, 6), textcoords="offset points", fontsize=8, ha="center"
            )
        right.margins(y=0.25)
    return _png(figure)


def latency_during_swap(
    samples: Sequence[Sample], stages: Sequence[StageMark], old_version: str
) -> bytes | None:
    """Draw each background search at its time, with the stages of the cycle and the promotion.

    Args:
        samples: The background searches.
        stages: When each stage began.
        old_version: The index version that served before.

    Returns:
        None when no search was made.
    """
    zero = stages[0].at if stages else 0.0
    samples = [one for one in samples if not stages or one.at >= zero - _SECONDS_BEFORE_CYCLE]
    if not samples:
        return None
    zero = zero or samples[0].at
    figure, axes = _figure(8.0, 3.8)
    groups = (
        ("old version", BEFORE, [one for one in samples if not one.error and one.index_version == old_version]),
        ("new version", AFTER, [one for one in samples if not one.error and one.index_version != old_version]),
        ("not answered", FAILED, [one for one in samples if one.error]),
    )
    top = max(sample.latency_ms for sample in samples) * 1.1
    for label, colour, group in groups:
        if group:
            times = [one.at - zero for one in group]
            axes.scatter(times, [one.latency_ms for one in group], s=7, color=colour, label=label, alpha=0.7)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(max(1.0, min(sample.latency_ms for sample in samples) * 0.8), top * 4)
    _mark_stages(axes, stages, zero)
    first_new = next((one.at for one in samples if not one.error and one.index_version != old_version), None)
    if first_new is not None:
        axes.axvline(first_new - zero, color=AFTER, linewidth=1.2)
        axes.annotate(
            "first answer of the new version",
            (first_new - zero, 0.02),
            (-5, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=AFTER,
            fontsize=8,
            ha="right",
        )
    axes.set_xlabel("seconds since the cycle began")
    axes.set_ylabel("search latency, ms (log)")
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8, markerscale=2)
    return _png(figure)


def _mark_stages(axes: Any, stages: Sequence[StageMark], zero: float) -> None:
    """Put the stages' names in lanes at the top, so that short stages do not write over each other."""
    begin, end = axes.get_xlim()
    for number, stage in enumerate(stages):
        late = stage.at - zero > begin + _LATE * (end - begin)
        axes.axvline(stage.at - zero, color=PALE, linewidth=1, zorder=0)
        axes.annotate(
            stage.name,
            (stage.at - zero, 0.97 - 0.06 * (number % _LANES)),
            (-3 if late else 3, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            va="top",
            ha="right" if late else "left",
        )


def _figure(width: float, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("the report needs matplotlib: pip install embedloop[demo]") from error
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
