"""`python -m benchmarks.vector_types`: what each type of stored vectors costs and finds, on each Milvus.

Real vectors of terms, mixed two by two until there are enough, through the adapter that the service uses.
Writes `vector-types.json` and `vector-types.png`, and proposes the fastest type that passes the check of an
index version.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import command, engines, vector_types_picture
from benchmarks.figures import latency
from benchmarks.plan import SEED, VectorTypesPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from embedloop.demo.ontology import Vocabulary
from embedloop.encoder import TorchEncoder, Vectors
from embedloop.errors import InvalidInput
from embedloop.index import MilvusIndex
from embedloop.index_rows import passage_id
from embedloop.policy import DEFAULT_BASE_MODEL, IndexSettings
from embedloop.records.documents import Hit, Passage
from embedloop.registry import max_tokens_of, resolve_base
from embedloop.text.chunking import embedding_text
from embedloop.vector_types import bytes_a_vector
from embedloop.verification import MIN_RECALL, RECALL_AT

TIMEOUT_SECONDS = 60.0
ROWS_A_MESSAGE = 512
SETTINGS = (
    IndexSettings(),
    IndexSettings(index_type="FLAT"),
    IndexSettings(index_type="HNSW_SQ"),
    IndexSettings(index_type="IVF_SQ8"),
    IndexSettings(vector_type="float16"),
    IndexSettings(vector_type="bfloat16"),
    IndexSettings(vector_type="int8"),
    IndexSettings(vector_type="binary", index_type="FLAT"),
    IndexSettings(vector_type="binary", index_type="FLAT", rescore_factor=64),
    IndexSettings(vector_type="binary", index_type="IVF_FLAT"),
)


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
    exact = queries @ passages.T
    settings = command.settings_of(vocabulary) | {"plan": asdict(plan), "dimension": passages.shape[1]}
    report = Report("vector-types", folder, settings, vector_types_picture.draw)
    report.keep("bits_alone", bits_alone(passages, queries, exact))
    measured: dict[str, Any] = {}
    for kind in engines.KINDS:
        with engines.running(kind) as engine:
            index = MilvusIndex(engine.uri, timeout_seconds=TIMEOUT_SECONDS)
            rows: list[dict[str, Any]] = []
            measured[kind] = {"version": engine.version, "types": rows, "proposed": None}
            for one in SETTINGS:
                rows.append(described(one) | _measured(index, one, passages, queries, exact))
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


def described(settings: IndexSettings) -> dict[str, Any]:
    """The settings that differ from row to row."""
    return settings.model_dump(mode="json", include={"vector_type", "index_type", "rescore_factor"})


def bytes_a_row(settings: IndexSettings, dimension: int) -> dict[str, int]:
    """What a vector takes in memory, computed; `beside` lies in a text field, which Milvus can map from disk.

    >>> bytes_a_row(IndexSettings(), 384), bytes_a_row(IndexSettings(index_type="IVF_SQ8"), 384)
    ({'index': 1664, 'beside': 0}, {'index': 392, 'beside': 0})
    """
    vector, beside = bytes_a_vector(dimension, settings.vector_type)
    links = 2 * settings.m * 4
    # As docs/operations.md tells them.
    index = {"HNSW": vector + links, "HNSW_SQ": 3 * dimension + links, "IVF_SQ8": dimension + 8}
    return {"index": index.get(settings.index_type, vector), "beside": beside}


def proposed(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The fastest of those that find enough, None where none does.

    >>> found = [{"name": n, "recall_at_10": r, "search_ms": {"p50": ms}}
    ...          for n, r, ms in (("a", 1.0, 7.0), ("b", 0.97, 5.0), ("c", 0.9, 2.0))]
    >>> proposed([*found, {"name": "d", "refused": "Milvus 2.3.5 cannot do int8"}])
    'b'
    """
    well = [row for row in rows if row.get("recall_at_10", 0.0) >= MIN_RECALL]
    return min(well, key=lambda row: row["search_ms"]["p50"])["name"] if well else None


def _measured(
    index: MilvusIndex, settings: IndexSettings, passages: Vectors, queries: Vectors, exact: Vectors
) -> dict[str, Any]:
    name = "/".join(str(one) for one in described(settings).values() if one is not None)
    try:
        index.require(settings)
    except InvalidInput as error:
        return {"name": name, "refused": error.message}
    say(f"{name}: {len(passages)} rows")
    collection = f"vt_{'_'.join(str(one) for one in described(settings).values())}"
    begin = time.perf_counter()
    _fill(index, collection, settings, passages)
    built = time.perf_counter() - begin
    times, recalls = [], []
    for query, scores in zip(queries, exact, strict=True):
        begin = time.perf_counter()
        (hits,) = index.search(collection, query[None], RECALL_AT, settings=settings)
        times.append(1000 * (time.perf_counter() - begin))
        recalls.append(recall(hits, scores))
    index.drop(collection)
    return {
        "name": name,
        "bytes_a_row": bytes_a_row(settings, passages.shape[1]),
        "build_seconds": round(built, 1),
        "recall_at_10": round(float(np.mean(recalls)), 4),
        "search_ms": latency(times[len(times) // 10 :]),
    }


def _fill(index: MilvusIndex, collection: str, settings: IndexSettings, vectors: Vectors) -> None:
    index.create(collection, vectors.shape[1], settings)
    for start in range(0, len(vectors), ROWS_A_MESSAGE):
        part = vectors[start : start + ROWS_A_MESSAGE]
        numbers = range(start, start + len(part))
        rows = [Passage(passage_id(str(n), 1, 0), str(n), 1, 0, "", "a text " * 30, {}) for n in numbers]
        index.upsert(collection, rows, part)
    index.seal(collection)


def recall(hits: Sequence[Hit], scores: Vectors) -> float:
    """Share of the exact nearest found: a hit counts that is as near as the last of them."""
    last = np.sort(scores)[-RECALL_AT]
    return sum(bool(scores[int(hit.passage.document_id)] >= last) for hit in hits) / RECALL_AT


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
