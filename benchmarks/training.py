"""`python -m benchmarks.training`: does training bring more than the plain recipe, on unseen queries?

On each data set BM25, the base model, the plain recipe of sentence-transformers and ours. Writes
`training.json` after each set, at the end `training.png` and the table in `docs/training-results.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import command, machine, training_page, training_picture, training_sets
from benchmarks.plan import SEED, TrainingPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from benchmarks.training_measure import RECIPE, Bench
from benchmarks.training_recipes import PlainRecipe
from benchmarks.training_scores import SYSTEMS, aims
from embedloop.errors import InvalidInput
from embedloop.policy import DEFAULT_BASE_MODEL

DATA = machine.ROOT.parent / "shared" / "data"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    options = _options(arguments)
    plan = TrainingPlan.quick() if options.quick else TrainingPlan.whole() if options.whole else TrainingPlan()
    return command.run(lambda: run(options, plan, command.folder_of(options)))


def run(options: argparse.Namespace, plan: TrainingPlan, folder: Path) -> None:
    """Measures one set after the other and writes the report.

    Raises:
        InvalidInput: A set is not there; those that are have been measured.
    """
    _check_device(options.device)
    settings = settings_of(plan, options.device)
    known = taken_over(folder / "training.json", settings) if options.resume else {}
    if options.keep:
        known |= kept(folder / "training.json", options.sets)
    report = Report("training", folder, settings, training_picture.draw)
    sets: dict[str, Any] = {}
    missing: list[str] = []
    for name in training_sets.NAMES:
        if name not in options.sets and name not in known:
            continue
        if name in known:
            say(f"{name}: taken over from the report")
            sets[name] = known[name]
            continue
        try:
            ranking = training_sets.load(name, options.data, plan.sizes[name])
            other = training_sets.load_elsewhere(name, options.data, plan)
        except InvalidInput as error:
            say(error.message)
            missing.append(name)
            continue
        with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as scratch:
            sets[name] = Bench(plan, options.device, Path(scratch)).measure(ranking, other) | {
                "measured": machine.moment()
            }
        report.keep("sets", sets)
        report.keep("aims", aims(sets))
    if sets:
        report.keep("sets", sets)
        report.keep("aims", aims(sets))
        report.finish()
        training_page.write(report.content, folder)
        _show(report.content)
    if missing:
        raise InvalidInput(f"not measured: {', '.join(missing)}; --data names their folder", field="data")


def settings_of(plan: TrainingPlan, device: str) -> dict[str, Any]:
    """What decides the figures, beside the commit."""
    return {
        "base_model": DEFAULT_BASE_MODEL,
        "device": device,
        "seed": SEED,
        "plan": json.loads(json.dumps(asdict(plan))),
        "ours": RECIPE.model_dump(mode="json"),
        "plain": asdict(PlainRecipe()),
    }


def taken_over(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sets that an earlier run measured with the same settings, from the commit that is checked out now."""
    now = machine.moment()
    if not path.is_file() or now["dirty"] or not now["commit"]:
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    if before["settings"] != settings:
        return {}
    return {
        name: one
        for name, one in before.get("sets", {}).items()
        if one["measured"]["commit"] == now["commit"] and not one["measured"]["dirty"]
    }


def kept(path: Path, measured: Sequence[str]) -> dict[str, Any]:
    """The sets of an earlier report that are not measured again; each tells its own commit."""
    if not path.is_file():
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    return {name: one for name, one in before.get("sets", {}).items() if name not in measured}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a smoke test; its figures mean nothing")
    size.add_argument("--whole", action="store_true", help="every passage and query of every set")
    parser.add_argument(
        "--out", help=f"folder of the report (default {command.RESULTS}, with --quick a temporary one)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of BEIR folders (default {DATA})")
    names = ",".join(training_sets.NAMES)
    parser.add_argument("--sets", type=_names, default=list(training_sets.NAMES), help=f"of {names}")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="what trains and encodes")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="take over the sets that this commit has measured with these settings",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the sets of the report that --sets does not name, as they are"
    )
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in training_sets.NAMES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"must be some of {', '.join(training_sets.NAMES)}, got {text!r}")
    return names


def _check_device(device: str) -> None:
    """Raises InvalidInput where a GPU is asked for and there is none."""
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise InvalidInput("device must be cpu where there is no GPU, got gpu", field="device")


def _show(report: Mapping[str, Any]) -> None:
    rows: list[list[object]] = []
    for name, one in report["sets"].items():
        for system in SYSTEMS:
            metrics = one["test"]["systems"][system]
            rows.append([f"{name}, {system}", *(metrics[metric]["mean"] for metric in metrics)])
    show("Training, on test queries", ["system", "precision@5", "hit@5", "nDCG@10"], rows)
    show("Aims", ["", "value", "aim", "met"], training_page.verdict_rows(report))


if __name__ == "__main__":
    sys.exit(main())
