"""The result of a demo as `report.html` and, beside it, `report.json`."""

from __future__ import annotations

import base64
import importlib.util
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from embedloop.client.results import Json
from embedloop.demo import plots
from embedloop.demo.measure import Answered, changes
from embedloop.demo.metrics import CONFIDENCE, SAMPLES, Comparison
from embedloop.demo.narrate import StageMark
from embedloop.demo.ontology import Vocabulary
from embedloop.demo.people import Tally
from embedloop.demo.plan import DemoPlan
from embedloop.demo.swap_probe import Sample, Verdict
from embedloop.errors import InvalidInput, MissingExtra

EXAMPLES = 12
_TEMPLATE = Path(__file__).with_name("report.html")
_PACKAGES = ("embedloop", "torch", "sentence-transformers", "onnxruntime", "pymilvus", "milvus-lite")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """All that a demo found out.

    Attributes:
        plan: What was to be done.
        vocabulary: Documents and queries.
        before: Test answers of the first index version.
        after: Test answers at the end.
        compared: Metric -> before, after, uplift.
        tally: What people did; None when labels were imported.
        cycle: The cycle's job at its end.
        model: The candidate's model version; None when there is none.
        old_version: The index version that served before.
        stages: When each stage of the cycle began.
        samples: The background searches.
        verdict: What was wrong with them.
        seconds: Step -> seconds.
        failures: Why the demo failed; empty when it did not.
    """

    plan: DemoPlan
    vocabulary: Vocabulary
    before: Sequence[Answered]
    after: Sequence[Answered]
    compared: Mapping[str, Comparison]
    tally: Tally | None
    cycle: Json
    model: Json | None
    old_version: str
    stages: Sequence[StageMark]
    samples: Sequence[Sample]
    verdict: Verdict
    seconds: Mapping[str, float]
    failures: Sequence[str]

    @property
    def counts(self) -> dict[str, int]:
        """Documents, and queries per list."""
        vocabulary = self.vocabulary
        return {
            "documents": len(vocabulary.terms),
            "train_queries": len(vocabulary.train),
            "golden_queries": len(vocabulary.golden),
            "test_queries": len(vocabulary.test),
        }


def check_ready(path: Path) -> None:
    """Find out before a long run whether its report can be written.

    Raises:
        InvalidInput: The folder cannot be made, or `path` is a folder.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    for package in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(f"the report needs {package}: pip install embedloop[demo]")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"report must be a file that can be written: {error}", field="report") from error
    if path.is_dir() or path.suffix == ".json":
        raise InvalidInput(f"report must be a file such as report.html, got {path}", field="report")


def write(result: DemoResult, path: Path) -> Path:
    """Write the report to `path` and its numbers beside it with the suffix `.json`.

    Returns:
        The path of the numbers.

    Raises:
        InvalidInput: The files cannot be written.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    numbers = path.with_suffix(".json")
    page = render(result)
    try:
        path.write_text(page, encoding="utf-8")
        numbers.write_text(json.dumps(summary(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"report must be a file that can be written: {error}", field="report") from error
    return numbers


def summary(result: DemoResult) -> dict[str, Any]:
    """Every number of a demo, JSON-ready."""
    answered = sorted(one.latency_ms for one in result.samples if one.error is None)
    return {
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": not result.failures,
        "failures": list(result.failures),
        "plan": asdict(result.plan),
        "policy": result.plan.policy,
        "counts": result.counts,
        "metrics": {metric: numbers.to_json() for metric, numbers in result.compared.items()},
        "bootstrap": {"samples": SAMPLES, "confidence": CONFIDENCE, "seed": result.plan.seed},
        "votes": None if result.tally is None else _votes(result.tally),
        "cycle": result.cycle,
        "model": None
        if result.model is None
        else {name: result.model[name] for name in ("id", "base", "parent", "training_set", "metrics")},
        "swap": {
            **asdict(result.verdict),
            "latency_ms": {share: _quantile(answered, point) for share, point in _QUANTILES.items()},
        },
        "stages": [{"stage": mark.name, "at": round(mark.at - _zero(result), 2)} for mark in result.stages],
        "seconds": dict(result.seconds),
        "versions": {
            "ontology": result.vocabulary.release,
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
        },
    }


def render(result: DemoResult) -> str:
    """Make the page: one file with its pictures inside, which needs no network.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtra("the report needs jinja2: pip install embedloop[demo]") from error
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    names = {term.term_id: term.name for term in result.vocabulary.terms}
    better, worse = changes(result.before, result.after, names, EXAMPLES)
    curve = (result.model or {}).get("metrics", {}).get("curve") or []
    return template.render(
        result=result,
        numbers=summary(result),
        better=better,
        worse=worse,
        bars=_inline(plots.before_and_after(result.compared)),
        curve=_inline(plots.training_curve(curve)),
        latency=_inline(plots.latency_during_swap(result.samples, result.stages, result.old_version)),
    )


_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def _votes(tally: Tally) -> dict[str, Any]:
    return {
        "searches": tally.searches,
        "votes": tally.votes,
        "signals": dict(tally.signals),
        "wrong": tally.wrong,
    }


def _quantile(ordered: Sequence[float], point: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(point * len(ordered)))], 1) if ordered else None


def _zero(result: DemoResult) -> float:
    return result.stages[0].at if result.stages else 0.0


def _inline(png: bytes | None) -> str:
    return "" if png is None else "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
