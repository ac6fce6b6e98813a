"""One road on one data set: what it finds, and what it costs to go and to use."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.training_models import METRICS, Encoded, Models, score_model
from benchmarks.training_sets import TEST, RankingSet
from embedloop.encoder import Encoder
from embedloop.recipe.compression import ExportSettings
from training.evaluation import Scores, bootstrap_interval, paired_difference
from training.general import GeneralSet

DECIDES = "ndcg@10"
QUERIES_TIMED = 60
TEXTS_CHECKED = 256


@dataclass
class Clock:
    """CPU seconds of this process and of its ended children: what others do on the machine does not count."""

    begin: float = field(default_factory=lambda: _cpu_seconds())

    def seconds(self) -> float:
        return round(_cpu_seconds() - self.begin, 2)


@dataclass(frozen=True)
class Reached:
    """Where a road has led.

    Attributes:
        scores: On the test queries.
        cost: `training_cpu_seconds`, `passage_cpu_ms` (encoding one), `query_ms` (the median of encoding one
            alone, or of whatever answers it), `dimension`, `model_mb`; None where there is no such thing.
        told: What else is to be known, JSON-ready.
    """

    scores: Scores
    cost: Mapping[str, float | None]
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """A model as the service would serve it, with the documents that it has encoded and what that took."""

    folder: Path
    encoded: Encoded
    passage_cpu_ms: float

    @property
    def encoder(self) -> Encoder:
        return self.encoded.encoder


def serve(
    models: Models,
    folder: Path,
    ranking: RankingSet,
    settings: ExportSettings | None = None,
    judged: GeneralSet | None = None,
) -> Served:
    """Registers, exports and checks a model folder, and encodes the set's documents with it."""
    texts = [ranking.documents[one] for one in sorted(ranking.documents)[:TEXTS_CHECKED]]
    encoder = models.encoder(folder, texts, settings or ExportSettings(), judged)
    clock = Clock()
    encoded = Encoded.of(encoder, ranking.documents)
    return Served(folder, encoded, round(1000 * clock.seconds() / len(ranking.documents), 3))


def reached(
    served: Served, ranking: RankingSet, training_cpu_seconds: float, told: Mapping[str, Any] | None = None
) -> Reached:
    """Scores a served model, with its costs."""
    return Reached(
        score_model(ranking, served.encoded),
        {
            "training_cpu_seconds": training_cpu_seconds,
            "passage_cpu_ms": served.passage_cpu_ms,
            "query_ms": query_ms(served.encoder, ranking),
            "dimension": served.encoder.dimension,
            "model_mb": model_mb(served.folder),
        },
        told or {},
    )


def query_ms(encoder: Encoder, ranking: RankingSet) -> float:
    """Median wall milliseconds of encoding one test query alone."""
    texts = [ranking.queries[key] for key in sorted(ranking.qrels[TEST])[:QUERIES_TIMED]]
    return timed(texts, lambda text: encoder.encode_queries([text]))


def timed(texts: Sequence[str], answer: Any) -> float:
    """Median wall milliseconds of one call; the first is left out."""
    spent = []
    for text in texts:
        begin = time.perf_counter()
        answer(text)
        spent.append(1000 * (time.perf_counter() - begin))
    return round(median(spent[1:]), 3)


def model_mb(folder: Path) -> float:
    """Megabytes of a folder's weights."""
    return round(sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6, 2)


def told_of(road: Reached, base: Scores) -> dict[str, Any]:
    """A road's figures with their intervals, and what it gains over the base model on the same queries."""
    return {
        "metrics": {
            metric: _rounded(bootstrap_interval(list(road.scores.per_query[metric].values())))
            for metric in METRICS
        },
        "over_base": {
            metric: _rounded(paired_difference(base.per_query[metric], road.scores.per_query[metric]))
            for metric in METRICS
        },
        "cost": dict(road.cost),
        **road.told,
    }


def _rounded(found: Any) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(found).items()}


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
