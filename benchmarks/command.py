"""What the commands of the benchmarks have in common: options, corpus, exit code."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import engines, machine
from benchmarks.plan import SEED, TOP_K
from embedloop.demo import ontology
from embedloop.demo.ontology import Term, Vocabulary
from embedloop.errors import EmbedloopError
from embedloop.policy import DEFAULT_BASE_MODEL

RESULTS = machine.ROOT / machine.RESULTS
EVERY = 10**9


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every command has."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=text)
    made.add_argument("--quick", action="store_true", help="a smoke test; its figures mean nothing")
    made.add_argument("--out", help=f"folder of the report (default {RESULTS}, with --quick a temporary one)")
    made.add_argument("--terms", type=count, help="documents of the corpus")
    return made


def add_milvus(to: argparse.ArgumentParser) -> None:
    """Adds the choice of the Milvus."""
    to.add_argument(
        "--milvus", choices=engines.KINDS, default=engines.ENGINE, help="Milvus 2.3.5, or Milvus Lite"
    )


def run(work: Callable[[], None]) -> int:
    """Runs a command; returns its exit code."""
    try:
        work()
    except EmbedloopError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


def folder_of(options: argparse.Namespace) -> Path:
    """Where the report goes."""
    if options.out is not None:
        return Path(options.out)
    return Path(tempfile.mkdtemp(prefix="embedloop-bench-quick-")) if options.quick else RESULTS


def vocabulary(terms: int | None) -> Vocabulary:
    """A seeded sample of the ontology with all its queries; None takes every term."""
    return ontology.build_vocabulary(
        ontology.ontology_file(), terms=terms, test_cap=EVERY, golden_cap=EVERY, seed=SEED
    )


def spare_terms(corpus: Vocabulary) -> list[Term]:
    """Terms of the ontology that are no documents of the corpus, in a set order."""
    there = {term.term_id for term in corpus.terms}
    return [term for term in vocabulary(None).terms if term.term_id not in there and term.definition]


def settings_of(corpus: Vocabulary) -> dict[str, Any]:
    """The settings that every report carries."""
    return {
        "terms": len(corpus.terms),
        "ontology": corpus.release,
        "base_model": DEFAULT_BASE_MODEL,
        "top_k": TOP_K,
        "seed": SEED,
    }


def count(text: str) -> int:
    """An option that is a count.

    Raises:
        ArgumentTypeError: It is below 1.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
