"""`python -m benchmarks.vector_types`: what each type of stored vectors costs and finds, on each Milvus.

Real vectors of terms, mixed two by two until there are enough, through the adapter that the service uses.
Writes `vector-types.json` and `vector-types.png`, and proposes the fastest type that passes the check of an
index version.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import command, engines, vector_types_picture
from benchmarks.plan import SEED, VectorTypesPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from embedloop.demo.ontology import Vocabulary
from embedloop.encoder import TorchEncoder, Vectors
from embedloop.index import MilvusIndex
from embedloop.index_candidates import candidates, name_of, proposed
from embedloop.index_rows import passage_id
from embedloop.index_trial import Sample, Truth, measured, refusal, refused, truth_of
from embedloop.policy import DEFAULT_BASE_MODEL, IndexSettings
from embedloop.records.documents import Passage
from embedloop.registry import max_tokens_of, resolve_base
from embedloop.text.chunking import embedding_text
from embedloop.verification import RECALL_AT

TIMEOUT_SECONDS = 60.0
SETTINGS = candidates(IndexSettings())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = command.parser("vector_types", __doc__)
    parser.add_argument("--rows", type=command.count, help="vectors in each collection")
    options = parser.parse_args(arguments)
    plan = VectorTypesPlan.quick() if options.quick else VectorTypesPlan()
    changed = {"terms": options.terms or plan.terms, "rows": options.rows or plan.rows}
    return command.run(lambda: run(VectorTypesPlan(**asdict(plan) | changed), command.folder_of(options)))


def run(plan: VectorTypesPlan, folder: Path) -> None:
    """Encodes, then measures every type on the engine and on Milvus Lite."""
    vocabulary = command.vocabulary(plan.terms)
    passages, queries = encoded(vocabulary, plan)
    truth = _truth(passages, queries)
    settings = command.settings_of(vocabulary) | {"plan": asdict(plan), "dimension": passages.shape[1]}
    report = Report("vector-types", folder, settings, vector_types_picture.draw)
    report.keep("bits_alone", bits_alone(passages, queries, queries @ passages.T))
    measured: dict[str, Any] = {}
    for kind in engines.KINDS:
        with engines.running(kind) as engine:
            index = MilvusIndex(engine.uri, timeout_seconds=TIMEOUT_SECONDS)
            rows: list[dict[str, Any]] = []
            measured[kind] = {"version": engine.version, "types": rows, "proposed": None}
            for one in SETTINGS:
                rows.append(_measured(index, one, truth))
                measured[kind]["proposed"] = proposed(rows)
                report.keep("servers", measured)
            index.close()
    report.finish()
    _show(report.content)


def encoded(vocabulary: Vocabulary, plan: VectorTypesPlan) -> tuple[Vectors, Vectors]:
    """Vectors (rows, dim) of terms and of mixtures of two, and (queries, dim) of their synonyms."""
    say(f"encoding {len(vocabulary.terms)} terms and {plan.queries} queries")
    folder = resolve_base(DEFAULT_BASE_MODEL)
    encoder = TorchEncoder(folder, max_tokens=max_tokens_of(folder))
    terms = encoder.encode_passages([embedding_text(t.name, t.definition) for t in vocabulary.terms])
    cases = [case.query for case in (*vocabulary.train, *vocabulary.golden, *vocabulary.test)]
    random = np.random.default_rng(SEED)
    queries = encoder.encode_queries([cases[n] for n in random.permutation(len(cases))[: plan.queries]])
    return mixed(terms, plan.rows, random), queries


def mixed(vectors: Vectors, count: int, random: np.random.Generator) -> Vectors:
    """The vectors, and mixtures of two of them drawn at random until there are `count`, all L2-normalised."""
    more = max(0, count - len(vectors))
    first, second = vectors[random.integers(0, len(vectors), (2, more))]
    share = random.uniform(0.5, 0.9, (more, 1)).astype(np.float32)
    rows = np.vstack([vectors[:count], share * first + (1 - share) * second])
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def bits_alone(passages: Vectors, queries: Vectors, exact: Vectors) -> dict[str, float]:
    """Recall of bits without finer numbers beside them, over all rows: what no number of candidates can better.

    `symmetric` ranks by the Hamming distance, `asymmetric` by the float query against plus and minus one.
    """
    signs = np.where(passages > 0, 1, -1).astype(np.float32)
    ranked = {"symmetric": np.where(queries > 0, 1, -1) @ signs.T, "asymmetric": queries @ signs.T}
    last = np.sort(exact, axis=1)[:, -RECALL_AT, None]
    found = {}
    for name, scores in ranked.items():
        best = np.argsort(-scores, axis=1, kind="stable")[:, :RECALL_AT]
        found[name] = round(float((np.take_along_axis(exact, best, axis=1) >= last).mean()), 4)
    return found


def _measured(index: MilvusIndex, settings: IndexSettings, truth: Truth) -> dict[str, Any]:
    if reason := refusal(index, settings):
        return refused(settings, reason)
    say(f"{name_of(settings)}: {len(truth.sample.keys)} rows")
    return measured(index, f"vt_{name_of(settings).replace('/', '_')}", settings, truth)


def _truth(passages: Vectors, queries: Vectors) -> Truth:
    keys = [passage_id(str(number), 1, 0) for number in range(len(passages))]

    def read(start: int, stop: int) -> list[Passage]:
        return [Passage(keys[n], str(n), 1, 0, "", "a text " * 30, {}) for n in range(start, stop)]

    return truth_of(Sample(keys, read, passages, queries))


def _show(report: Mapping[str, Any]) -> None:
    for server in report["servers"].values():
        rows = [
            (
                row["name"],
                row["bytes_a_row"]["index"],
                row["bytes_a_row"]["beside"],
                row["recall_at_10"],
                row["search_ms"]["p50"],
                row["search_ms"]["p95"],
                row["build_seconds"],
            )
            for row in server["types"]
            if "refused" not in row
        ]
        columns = ("type", "bytes a row", "beside", "recall@10", "p50 ms", "p95 ms", "build s")
        show(f"{server['version']}: the fastest that finds enough is {server['proposed']}", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
