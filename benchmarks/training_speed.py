"""`python -m benchmarks.training_speed`: the training process beside the library's trainer with its defaults.

Writes `training-speed.json` and `training-speed.png`.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import child, command, training_child, training_speed_picture
from benchmarks.figures import ratio
from benchmarks.plan import SEED, TrainingSpeedPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from embedloop.demo.ontology import Case, Vocabulary
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.registry import resolve_base
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import query_key
from training.finetune import FinetuneConfig
from training.pairs import write_training_set

KINDS = ("ours", "bare")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    options = command.parser("training_speed", __doc__).parse_args(arguments)
    plan = TrainingSpeedPlan.quick() if options.quick else TrainingSpeedPlan()
    if options.terms:
        plan = replace(plan, terms=options.terms)
    return command.run(lambda: run(plan, command.folder_of(options)))


def run(plan: TrainingSpeedPlan, folder: Path) -> None:
    """Measures both kinds and writes the report."""
    vocabulary = command.vocabulary(plan.terms)
    settings = command.settings_of(vocabulary) | {"plan": asdict(plan)}
    report = Report("training-speed", folder, settings, training_speed_picture.draw)
    for name, section in measure(vocabulary, plan).items():
        report.keep(name, section)
    report.finish()
    _show(report.content)


def measure(vocabulary: Vocabulary, plan: TrainingSpeedPlan) -> dict[str, Any]:
    """Both kinds in turn, each repeat with another seed and the order reversed, so that neither profits.

    Neither validates: the training set has no dev split, so both do nothing but train on the same pairs. Ours
    writes its checkpoints, the other none. No term is in both the training pairs and the held-out queries.
    """
    base = resolve_base(DEFAULT_BASE_MODEL)
    pairs = _pairs(vocabulary, plan.pairs)
    held_out = vocabulary.test[: plan.held_out]
    pool = _pool(vocabulary, held_out, plan.pool)
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    say(f"quality of the base model, {len(held_out)} queries among {len(pool)} terms")
    base_score = _score(base, held_out, pool)
    for repeat in range(plan.repeats):
        settings = TrainingSettings(hard_negatives=0, epochs=1.0, seed=SEED + repeat)
        for kind in KINDS if repeat % 2 == 0 else reversed(KINDS):
            say(f"training, {kind}, {len(pairs)} pairs, seed {settings.seed}")
            with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as folder:
                train = _ours if kind == "ours" else _bare
                begin, cpu = time.perf_counter(), _cpu_seconds_of_children()
                run = train(base, pairs, settings, Path(folder))
                run["process_seconds"] = round(time.perf_counter() - begin, 2)
                run["process_cpu_seconds"] = round(_cpu_seconds_of_children() - cpu, 2)
                run["ndcg@10"] = round(_score(Path(run.pop("model")), held_out, pool), 4)
            runs[kind].append(run)
    found: dict[str, Any] = {
        "pairs": len(pairs),
        "held_out_queries": len(held_out),
        "pool": len(pool),
        "recipe": TrainingSettings(hard_negatives=0, epochs=1.0, seed=SEED).model_dump(mode="json"),
        "base_ndcg@10": round(base_score, 4),
        **{kind: _summary(runs[kind], len(pairs)) for kind in KINDS},
    }
    ours, bare = found["ours"], found["bare"]
    found["ratios"] = {
        "pairs_per_second": ratio(ours["pairs_per_second"], bare["pairs_per_second"]),
        "pairs_per_second_whole_process": ratio(
            ours["pairs_per_second_whole_process"], bare["pairs_per_second_whole_process"]
        ),
        "cpu_of_ours_to_bare": ratio(ours["cpu_ms_per_pair"], bare["cpu_ms_per_pair"]),
    }
    return found


def _ours(
    base: Path, pairs: Sequence[TrainingPair], settings: TrainingSettings, folder: Path
) -> dict[str, Any]:
    """The child process of a `finetune` job, as the worker starts it."""
    frozen = write_training_set(pairs, folder / "set")
    config = FinetuneConfig(base, folder / "out", frozen.path, settings, query_prompt="", passage_prompt="")
    result = training_child.finetune(config)
    return {name: result[name] for name in ("model", "steps", "seconds")} | {"seed": settings.seed}


def _bare(
    base: Path, pairs: Sequence[TrainingPair], settings: TrainingSettings, folder: Path
) -> dict[str, Any]:
    config = {
        **settings.model_dump(mode="json"),
        "base": str(base),
        "out": str(folder),
        "pairs": [[pair.anchor, pair.positive] for pair in pairs],
    }
    return child.measure("benchmarks.bare_trainer", config) | {"seed": settings.seed}


def _cpu_seconds_of_children() -> float:
    """CPU time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pairs(vocabulary: Vocabulary, count: int) -> list[TrainingPair]:
    texts = _texts(vocabulary)
    return [
        TrainingPair(
            anchor=case.query,
            positive=texts[case.term_id],
            negatives=(),
            anchor_key=query_key(case.query),
            document_id=case.term_id,
            split=Split.TRAIN,
            lineage=(f"benchmark:{case.term_id}",),
        )
        for case in vocabulary.train[:count]
    ]


def _pool(vocabulary: Vocabulary, held_out: Sequence[Case], size: int) -> dict[str, str]:
    """The right terms of the held-out queries, filled up with others at random: id -> text."""
    texts = _texts(vocabulary)
    chosen = {case.term_id for case in held_out}
    others = sorted(texts.keys() - chosen)
    fill = random.Random(SEED).sample(others, min(len(others), max(0, size - len(chosen))))
    return {term_id: texts[term_id] for term_id in sorted(chosen | set(fill))}


def _texts(vocabulary: Vocabulary) -> dict[str, str]:
    return {term.term_id: embedding_text(term.name, term.definition) for term in vocabulary.terms}


def _score(model: Path, held_out: Sequence[Case], pool: dict[str, str]) -> float:
    """nDCG@10 of a model, 0..1, greater is better."""
    config = {"model": str(model), "cases": [[c.query, c.term_id] for c in held_out], "pool": pool}
    return float(child.measure("benchmarks.quality", config)["ndcg@10"])


def _summary(runs: Sequence[dict[str, Any]], pairs: int) -> dict[str, Any]:
    total = pairs * len(runs)
    return {
        "runs": list(runs),
        "pairs_per_second": round(total / sum(run["seconds"] for run in runs), 2),
        "pairs_per_second_whole_process": round(total / sum(run["process_seconds"] for run in runs), 2),
        "cpu_ms_per_pair": round(1000 * sum(run["process_cpu_seconds"] for run in runs) / total, 2),
        "ndcg@10": round(fmean(run["ndcg@10"] for run in runs), 4),
    }


def _show(section: dict[str, Any]) -> None:
    rows: list[list[object]] = [["base model", None, None, None, section["base_ndcg@10"]]]
    names = ("pairs_per_second", "pairs_per_second_whole_process", "cpu_ms_per_pair", "ndcg@10")
    rows += [[kind, *(section[kind][name] for name in names)] for kind in KINDS]
    rows.append(["ours / bare", *section["ratios"].values(), None])
    columns = ["trainer", "pairs/s", "pairs/s, whole process", "CPU ms a pair", "nDCG@10"]
    show(f"Training, {section['pairs']} pairs", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
