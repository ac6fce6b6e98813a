"""`python -m benchmarks.exports`: the exported forms of one model beside sentence-transformers in torch.

Each form encodes the same passages as a re-embedding does and the same queries as a search does, in turns, and
ranks the same test queries. Writes `exports.json` and `exports.png`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from benchmarks import command, exports_picture, training_sets
from benchmarks.plan import SEED, ExportsPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from benchmarks.training import DATA
from benchmarks.training_sets import TEST, TRAIN, RankingSet
from embedloop.encoder import ONNX_FILE, Encoder, OnnxEncoder, TorchEncoder, Vectors, go_on
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.recipe.compression import ExportSettings
from embedloop.registry import max_tokens_of, resolve_base
from training.export import export_onnx
from training.fidelity import FP32, Measured, measure
from training.general import GeneralSet
from training.quantise import Way, quantise
from training.quantised_export import CALIBRATION_TEXTS

TORCH = "torch"
# A re-embedding plans its batches over so many passages.
ROUND = 512
AIMS = {"speed_over_torch": 1.6, "ndcg_drop": 0.005, "query_ms": 6.0}


class AsServed:
    """A form as it is used: one encoder answers queries soon, another encodes many passages."""

    def __init__(self, queries: Encoder, passages: Encoder):
        self._queries, self._passages = queries, passages
        self.dimension, self.max_tokens = queries.dimension, queries.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._queries.encode_queries(texts)

    def encode_passages(self, texts: Sequence[str], *, check: Any = go_on) -> Vectors:
        return self._passages.encode_passages(texts, check=check)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test; its figures mean nothing")
    parser.add_argument(
        "--out", help=f"folder of the report (default {command.RESULTS}, with --quick a temporary one)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of BEIR folders (default {DATA})")
    options = parser.parse_args(arguments)
    plan = ExportsPlan.quick() if options.quick else ExportsPlan()
    return command.run(lambda: run(plan, options.data, command.folder_of(options)))


def run(plan: ExportsPlan, data: Path, folder: Path) -> None:
    """Measures every form on every set and writes the report.

    Raises:
        InvalidInput: A set is not there.
    """
    settings = {
        "base_model": DEFAULT_BASE_MODEL,
        "seed": SEED,
        "plan": asdict(plan),
        "threads": plan.threads,
        "aims": AIMS,
        "gate": ExportSettings().model_dump(mode="json"),
    }
    report = Report("exports", folder, settings, exports_picture.draw)
    sets: dict[str, Any] = {}
    for name, sizes in plan.sizes.items():
        ranking = training_sets.load(name, data, sizes)
        with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as scratch:
            encoders = forms(Path(scratch) / "model", known_texts(ranking), plan.threads)
            say(f"{name}: {len(ranking.documents)} passages, {len(ranking.qrels[TEST])} queries")
            measured = measure(encoders, asked(ranking), others(ranking), at_once=ROUND)
        words = sum(len(text.split()) for text in ranking.documents.values()) / len(ranking.documents)
        sets[name] = {
            "passages": len(ranking.documents),
            "queries": len(ranking.qrels[TEST]),
            "words_a_passage": round(words, 1),
            "forms": {one.graph: told(one, measured) for one in measured},
        }
        report.keep("sets", sets)
    report.finish()
    _show(sets)


def forms(folder: Path, known: Sequence[str], threads: int) -> dict[str, Encoder]:
    """Copies the base model to `folder`, exports it, and loads every form of it."""
    shutil.copytree(resolve_base(DEFAULT_BASE_MODEL), folder)
    export_onnx(folder)
    tokens = max_tokens_of(folder)
    encoders: dict[str, Encoder] = {TORCH: TorchEncoder(folder, max_tokens=tokens, threads=threads)}
    encoders[FP32] = _onnx(folder, ONNX_FILE, tokens, threads)
    calibrating = OnnxEncoder(folder, max_tokens=tokens, threads=threads)
    for way in get_args(Way):
        say(f"int8, {way}")
        graph = f"onnx/{way}.onnx"
        quantise(folder / ONNX_FILE, folder / graph, way, calibrating.feeds(known))
        encoders[f"int8 {way}"] = _onnx(folder, graph, tokens, threads)
    return encoders


def _onnx(folder: Path, graph: str, tokens: int, threads: int) -> Encoder:
    def load(bulk: bool) -> Encoder:
        return OnnxEncoder(folder, max_tokens=tokens, threads=threads, bulk=bulk, graph=graph)

    return AsServed(load(False), load(True))


def known_texts(ranking: RankingSet) -> list[str]:
    """What the static graph is calibrated on: documents that training queries ask for, none of a test query."""
    known = sorted(ranking.relevant(TRAIN) - ranking.relevant(TEST))
    return [ranking.documents[one] for one in known[:CALIBRATION_TEXTS]]


def asked(ranking: RankingSet) -> GeneralSet:
    """The test queries with the documents that answer them."""
    qrels = ranking.qrels[TEST]
    return GeneralSet(
        ranking.name,
        {key: ranking.queries[key] for key in qrels},
        {one: ranking.documents[one] for one in sorted(ranking.relevant(TEST))},
        qrels,
    )


def others(ranking: RankingSet) -> list[str]:
    """All other documents, among which the answers must be found too."""
    relevant = ranking.relevant(TEST)
    return [text for key, text in sorted(ranking.documents.items()) if key not in relevant]


def told(one: Measured, measured: Sequence[Measured]) -> dict[str, Any]:
    """A form's figures, its speed beside torch and what the gate of int8 says of it.

    >>> torch = Measured("torch", 1, 1, 1, 0.7, 0.0, 9.0, 20.0)
    >>> int8 = Measured("int8 dynamic", 0.98, 0.99, 0.9, 0.7, 0.001, 3.0, 50.0)
    >>> told(int8, [torch, int8])["speed_over_torch"]
    2.5
    """
    torch = next(form for form in measured if form.graph == TORCH)
    faults = one.faults(ExportSettings()) if one.graph not in (TORCH, FP32) else []
    figures = {name: round(value, 5) for name, value in asdict(one).items() if name != "graph"}
    pace = round(one.passages_per_second / torch.passages_per_second, 3)
    return figures | {"speed_over_torch": pace, "faults": faults}


def _show(sets: Mapping[str, Any]) -> None:
    rows: list[list[object]] = [
        [f"{name}, {form}", *(one[column] for column in _COLUMNS)]
        for name, found in sets.items()
        for form, one in found["forms"].items()
    ]
    show("Exports", ["form", *_COLUMNS.values()], rows)


_COLUMNS = {
    "passages_per_second": "passages/s",
    "speed_over_torch": "over torch",
    "query_ms": "query ms",
    "ndcg": "nDCG@10",
    "ndcg_drop": "lost",
    "lowest_cosine": "lowest cosine",
}


if __name__ == "__main__":
    sys.exit(main())
