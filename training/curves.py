"""The picture of one fine-tune: loss, dev metric, space, and the alpha sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draws what was measured; panels of what was not stay away.

    Args:
        result: `FinetuneResult.to_json()`.
        path: A PNG file.
    """
    panels = [_loss]
    panels += [_dev, _space] if result["dev"] else []
    panels += [_sweep] if result["sweep"] else []
    figure = Figure(figsize=(4 * len(panels), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes, result)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _loss(axes: Any, result: Mapping[str, Any]) -> None:
    _line(axes, result["loss"], "loss")
    axes.set(title="Training loss", xlabel="step")


def _dev(axes: Any, result: Mapping[str, Any]) -> None:
    _line(axes, result["dev"], "nDCG@10")
    axes.axvline(result["best_step"], color="grey", linestyle=":")
    axes.set(title=f"Dev nDCG@10, kept: step {result['best_step']}", xlabel="step")


def _space(axes: Any, result: Mapping[str, Any]) -> None:
    for name in ("alignment", "uniformity", "anisotropy"):
        _line(axes, [(step, values[name]) for step, values in result["space"]], name)
    axes.legend(fontsize="small")
    axes.set(title="Embedding space", xlabel="step")


def _sweep(axes: Any, result: Mapping[str, Any]) -> None:
    for name in ("dev", "general"):
        points = [(point["alpha"], point[name]) for point in result["sweep"]["points"]]
        if all(value is not None for _, value in points):
            _line(axes, points, name)
    axes.axvline(result["sweep"]["alpha"], color="grey", linestyle=":")
    if axes.lines[:-1]:
        axes.legend(fontsize="small")
    axes.set(title=f"Merging, chosen: {result['sweep']['alpha']:g}", xlabel="share of tuned weights")


def _line(axes: Any, points: Sequence[tuple[float, float]], label: str) -> None:
    axes.plot([at for at, _ in points], [value for _, value in points], marker="o", markersize=3, label=label)
