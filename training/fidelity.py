"""How near other graphs of a model are to its fp32 one, how fast all of them are here, and which one serves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from embedloop.encoder import Encoder, Vectors
from embedloop.errors import InvalidInput, ModelRefused
from embedloop.recipe.compression import ExportSettings
from embedloop.slices import slices
from training.evaluation import rank_by_cosine, score_run
from training.general import METRIC, GeneralSet

FP32 = "fp32"
_DEPTH = 10
_AT_ONCE = 64
_TIMED_QUERIES = 50
_QUERIES_A_TURN = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """One graph beside the fp32 one, over the same queries and passages.

    Attributes:
        graph: `fp32`, or the way it was quantised.
        lowest_cosine: Of the two vectors of one text, query or passage; 1 is identical.
        mean_cosine: The same, on average.
        overlap: Share of fp32's ten nearest passages that are among the graph's own, mean over the queries.
        ndcg: nDCG@10, 0..1.
        ndcg_drop: Share of fp32's nDCG@10 that is lost; negative where the graph is better.
        query_ms: Median of queries encoded one by one, on this machine.
        passages_per_second: On this machine.
    """

    graph: str
    lowest_cosine: float
    mean_cosine: float
    overlap: float
    ndcg: float
    ndcg_drop: float
    query_ms: float
    passages_per_second: float

    def faults(self, settings: ExportSettings) -> list[str]:
        """Why this graph may not serve, in words; empty for one that may.

        >>> Measured("dynamic", 0.90, 0.95, 0.9, 0.70, 0.01, 2.0, 40.0).faults(ExportSettings())
        ['lowest cosine 0.9000 is below 0.97', 'loses 1.00% of nDCG@10, at most 0.50% may be lost']
        """
        found = []
        if self.lowest_cosine < settings.min_cosine:
            found.append(f"lowest cosine {self.lowest_cosine:.4f} is below {settings.min_cosine:g}")
        if self.overlap < settings.min_overlap:
            found.append(f"overlap of the top {_DEPTH} {self.overlap:.3f} is below {settings.min_overlap:g}")
        if self.ndcg_drop > settings.max_ndcg_drop:
            found.append(
                f"loses {self.ndcg_drop:.2%} of nDCG@{_DEPTH}, at most {settings.max_ndcg_drop:.2%} may be lost"
            )
        return found


@dataclass(frozen=True, slots=True)
class Choice:
    """The graph that serves, and what was measured of all of them."""

    graph: str
    measured: tuple[Measured, ...]
    faults: Mapping[str, Sequence[str]]

    def to_json(self) -> dict[str, Any]:
        graphs = [asdict(one) | {"faults": list(self.faults[one.graph])} for one in self.measured]
        return {"graph": self.graph, "graphs": graphs}


def choose(measured: Sequence[Measured], settings: ExportSettings) -> Choice:
    """Takes the graph that encodes most passages a second among the faithful ones that the policy admits.

    Raises:
        ModelRefused: The policy wants `int8`, and no such graph is faithful.

    >>> full = Measured("fp32", 1, 1, 1, 0.7, 0, 6.0, 20.0)
    >>> fast = Measured("dynamic", 0.99, 0.995, 0.9, 0.7, 0.001, 3.0, 35.0)
    >>> loose = Measured("static", 0.90, 0.930, 0.8, 0.6, 0.1, 2.0, 45.0)
    >>> choose([full, fast, loose], ExportSettings(precision="auto")).graph
    'dynamic'
    >>> choose([full, loose], ExportSettings(precision="auto")).graph
    'fp32'
    """
    faults = {one.graph: [] if one.graph == FP32 else one.faults(settings) for one in measured}
    wanted = [one for one in measured if one.graph != FP32 or settings.precision != "int8"]
    faithful = [one for one in wanted if not faults[one.graph]]
    if not faithful:
        told = "; ".join(f"{one.graph}: {', '.join(faults[one.graph])}" for one in wanted)
        raise ModelRefused(
            f"no int8 graph of this model is faithful to it ({told})", field="policy.export.precision"
        )
    best = max(faithful, key=lambda one: one.passages_per_second)
    return Choice(best.graph, tuple(measured), faults)


def measure(
    encoders: Mapping[str, Encoder],
    judged: GeneralSet,
    texts: Sequence[str] = (),
    *,
    at_once: int = _AT_ONCE,
    check: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Encodes the same texts with every graph, in turns, so that whatever else runs here slows all alike.

    Args:
        encoders: Graph -> its encoder; `fp32` among them.
        judged: Queries with the documents that answer them.
        texts: Further passages, among which the answers must be found too.
        at_once: Passages of one call, after which it is the next graph's turn.
        check: Called between two batches; raises to end it.

    Raises:
        InvalidInput: There is no `fp32`, or no query has a relevant document.
    """
    if FP32 not in encoders:
        raise InvalidInput(f"fidelity is measured against {FP32!r}, got only {sorted(encoders)}")
    queries, documents = sorted(judged.queries), sorted(judged.documents)
    asked = [judged.queries[one] for one in queries]
    passages = [*(judged.documents[one] for one in documents), *texts]
    names = [*documents, *(f"further text {number}" for number in range(len(texts)))]
    pace = _in_turns(encoders, passages, at_once, check)
    waits = _one_by_one(encoders, asked[:_TIMED_QUERIES], check)
    found = {name: (one.encode_queries(asked), pace[name][0]) for name, one in encoders.items()}
    told = []
    nearest = rank_by_cosine(*found[FP32], names, _DEPTH)
    reference = _ndcg(queries, nearest, judged)
    for name, vectors in found.items():
        ranked = rank_by_cosine(*vectors, names, _DEPTH)
        ndcg = _ndcg(queries, ranked, judged)
        pairs = zip(vectors, found[FP32], strict=True)
        cosines = np.concatenate([np.sum(ours * theirs, axis=1) for ours, theirs in pairs])
        shared = [len(set(a) & set(b)) / max(1, len(b)) for a, b in zip(ranked, nearest, strict=True)]
        told.append(
            Measured(
                graph=name,
                lowest_cosine=float(np.where(np.isfinite(cosines), cosines, -1.0).min()),
                mean_cosine=float(np.nan_to_num(cosines, nan=-1.0).mean()),
                overlap=float(np.mean(shared)),
                ndcg=ndcg,
                ndcg_drop=0.0 if reference == 0 else (reference - ndcg) / reference,
                query_ms=statistics.median(waits[name]),
                passages_per_second=len(passages) / pace[name][1],
            )
        )
    return told


def _in_turns(
    encoders: Mapping[str, Encoder], passages: Sequence[str], at_once: int, check: Callable[[], None]
) -> dict[str, tuple[Vectors, float]]:
    """Graph -> vectors of all passages, and the seconds that they took."""
    parts: dict[str, list[Vectors]] = {name: [] for name in encoders}
    seconds = dict.fromkeys(encoders, 0.0)
    for one in encoders.values():
        one.encode_passages(passages[:1])
    for start in range(0, len(passages), at_once):
        for name, one in encoders.items():
            check()
            begun = time.perf_counter()
            parts[name].append(one.encode_passages(passages[start : start + at_once]))
            seconds[name] += time.perf_counter() - begun
    return {name: (np.concatenate(parts[name]), seconds[name]) for name in encoders}


def _one_by_one(
    encoders: Mapping[str, Encoder], queries: Sequence[str], check: Callable[[], None]
) -> dict[str, list[float]]:
    """Graph -> milliseconds of each query, as a search encodes it: its weights lie in the caches."""
    waits: dict[str, list[float]] = {name: [] for name in encoders}
    for block in slices(queries, _QUERIES_A_TURN):
        for name, one in encoders.items():
            check()
            # What the graph before it left in the caches, and its threads, are not this one's.
            one.encode_queries(block[:1])
            for query in block:
                begun = time.perf_counter()
                one.encode_queries([query])
                waits[name].append(1000 * (time.perf_counter() - begun))
    return waits


def _ndcg(queries: Sequence[str], ranked: Sequence[Sequence[str]], judged: GeneralSet) -> float:
    return score_run(dict(zip(queries, ranked, strict=True)), judged.qrels, (METRIC,)).mean[METRIC]
