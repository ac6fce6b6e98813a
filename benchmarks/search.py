"""`python -m benchmarks.search`: measures search, re-embedding and training beside their bare parts.

Writes `search.json` and `search.png`. Sections can be run alone and are merged into the file that is there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bench_corpus, latency, machine, plot, reembed, report, training
from benchmarks.plan import SEED, TOP_K, BenchPlan
from benchmarks.progress import say
from embedloop.demo import ontology
from embedloop.demo.ontology import Vocabulary
from embedloop.errors import EmbedloopError, InvalidInput
from embedloop.policy import DEFAULT_BASE_MODEL

RESULTS = machine.ROOT / machine.RESULTS
TERMS, QUICK_TERMS = 6000, 600
EVERY = 10**9


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    options = _options(arguments)
    plan = BenchPlan.quick(options.terms or QUICK_TERMS) if options.quick else BenchPlan(options.terms or TERMS)
    try:
        run(plan, _sections(options.only), _folder(options))
    except EmbedloopError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


def run(plan: BenchPlan, sections: Sequence[str], folder: Path) -> None:
    """Measures the sections and writes the report after each, so that a failure loses no other."""
    file = ontology.ontology_file()
    vocabulary = ontology.build_vocabulary(file, terms=plan.terms, test_cap=EVERY, golden_cap=EVERY, seed=SEED)
    head = {
        "machine": machine.description(),
        "settings": {
            "terms": len(vocabulary.terms),
            "ontology": vocabulary.release,
            "base_model": DEFAULT_BASE_MODEL,
            "top_k": TOP_K,
            "seed": SEED,
        },
    }
    found = report.merge(report.read(folder / "search.json"), head)

    def keep(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        found[name] = _timed(measure)
        report.write(folder / "search.json", found)
        plot.draw(found, folder / "search.png")

    if {"search", "reembed"} & set(sections):
        _with_stack(vocabulary, plan, sections, keep)
    if "training" in sections:
        keep("training", lambda: training.measure(vocabulary, plan))
    say(f"written: {folder / 'search.json'} and {folder / 'search.png'}")


def _with_stack(
    vocabulary: Vocabulary,
    plan: BenchPlan,
    sections: Sequence[str],
    keep: Callable[[str, Callable[[], dict[str, Any]]], None],
) -> None:
    with bench_corpus.running(vocabulary) as bench:
        # Searches are measured on the version that this job makes: wholly flushed and indexed.
        if "reembed" in sections:
            keep("reembed", lambda: reembed.measure(bench))
        else:
            reembed.run_reindex(bench)
        if "search" in sections:
            keep("search", lambda: latency.measure(bench, plan))


def _timed(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    moment = machine.moment()
    begin = time.perf_counter()
    section = measure()
    return {"measured": moment | {"seconds": round(time.perf_counter() - begin, 1)}} | section


def _sections(only: str | None) -> list[str]:
    wanted = only.split(",") if only else list(report.SECTIONS)
    unknown = [name for name in wanted if name not in report.SECTIONS]
    if unknown:
        raise InvalidInput(f"--only must name sections of {report.SECTIONS}, got {unknown}", field="only")
    return wanted


def _folder(options: argparse.Namespace) -> Path:
    if options.out is not None:
        return Path(options.out)
    return Path(tempfile.mkdtemp(prefix="embedloop-bench-quick-")) if options.quick else RESULTS


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--terms", type=_count, help=f"documents of the corpus (default {TERMS})")
    parser.add_argument("--quick", action="store_true", help=f"a smoke test with {QUICK_TERMS} terms")
    parser.add_argument("--only", help=f"some of {','.join(report.SECTIONS)}")
    parser.add_argument("--out", help=f"folder of the report (default {RESULTS}, with --quick a temporary one)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
