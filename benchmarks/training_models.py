"""Models as the service has them, and what each of them finds of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training_child import Device
from benchmarks.training_sets import TEST, RankingSet
from embedloop.catalog.database import Database
from embedloop.catalog.migrate import upgrade
from embedloop.encoder import Encoder, Vectors
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.recipe.compression import ExportSettings
from embedloop.registry import EXPORT_FILE, ModelStore, load_encoder, max_tokens_of, register
from training.evaluation import Scores, rank_by_cosine, score_run
from training.export import check_parity, export_onnx
from training.general import METRIC, GeneralSet
from training.general_score import score_general
from training.lexical import Bm25
from training.quantised_export import export_int8

METRICS = ("precision@5", "hit@5", "ndcg@10")
_DEPTH = 10
_PARITY_TEXTS = 32
FULL = ExportSettings()
_BATCH_SIZE: Mapping[Device, int] = {"cpu": 32, "gpu": 256}


class Models:
    """A catalog and a model store of their own: every model is registered, exported and checked as in a job."""

    def __init__(self, folder: Path, device: Device):
        url = f"sqlite:///{folder}/catalog.db"
        folder.mkdir(parents=True, exist_ok=True)
        upgrade(url)
        self._database = Database(url)
        self._store = ModelStore(str(folder / "models"), folder / "cache")
        self._device = device
        self._exports: dict[Path, Mapping[str, Any]] = {}

    def encoder(
        self,
        folder: Path,
        texts: Sequence[str],
        settings: ExportSettings = FULL,
        judged: GeneralSet | None = None,
    ) -> Encoder:
        """The service's encoder of a model folder: ONNX on a CPU, torch on a GPU.

        An int8 graph is calibrated on `texts` and measured on them and on `judged`.

        Raises:
            ModelRefused: The folder may not be loaded, or its export differs from it on `texts`.
        """

        def export(copy: Path) -> None:
            export_onnx(copy)
            check_parity(copy, texts[:_PARITY_TEXTS])
            if settings.precision != "fp32" and judged is not None:
                self._quantise(copy, settings, judged, texts)

        model = register(
            self._database,
            self._store,
            folder,
            base=DEFAULT_BASE_MODEL,
            export=export,
            backend="onnx" if self._device == "cpu" else "torch",
            settings=settings,
        )
        self._exports[folder] = model.metrics.get("export", {})
        return load_encoder(self._store, model, threads=2, batch_size=_BATCH_SIZE[self._device])

    def export_of(self, folder: Path) -> Mapping[str, Any]:
        """What the last export of a folder measured; nothing for fp32."""
        return self._exports[folder]

    def _quantise(self, copy: Path, settings: ExportSettings, judged: GeneralSet, texts: Sequence[str]) -> None:
        export_int8(
            copy,
            settings,
            judged,
            texts,
            copy / EXPORT_FILE,
            max_tokens=max_tokens_of(copy),
            threads=2,
            batch_size=_BATCH_SIZE[self._device],
        )

    def close(self) -> None:
        self._database.dispose()


@dataclass(frozen=True)
class Encoded:
    """A model's vectors of all documents of a set, each encoded once; float32, L2-normalised.

    Attributes:
        encoder: The model's.
        ids: n document ids, sorted.
        vectors: (n, dim).
    """

    encoder: Encoder
    ids: Sequence[str]
    vectors: Vectors

    @classmethod
    def of(cls, encoder: Encoder, documents: Mapping[str, str]) -> Encoded:
        ids = sorted(documents)
        return cls(encoder, ids, encoder.encode_passages([documents[one] for one in ids]))

    def search(self, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """Per query, the `limit` nearest documents with their cosine: a `training.mining.Searcher`."""
        found: list[list[tuple[str, float]]] = []
        for start in range(0, len(queries), 256):
            cosines = self.encoder.encode_queries(queries[start : start + 256]) @ self.vectors.T
            nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :limit]
            found += [
                [(self.ids[at], float(row[at])) for at in best]
                for row, best in zip(cosines, nearest, strict=True)
            ]
        return found


def score_model(ranking: RankingSet, encoded: Encoded) -> Scores:
    """A model on the test queries, ranked exactly among all documents of the set."""
    keys = sorted(ranking.qrels[TEST])
    vectors = encoded.encoder.encode_queries([ranking.queries[key] for key in keys])
    ranked = rank_by_cosine(vectors, encoded.vectors, encoded.ids, _DEPTH)
    return score_run(dict(zip(keys, ranked, strict=True)), ranking.qrels[TEST], METRICS)


def score_words(ranking: RankingSet) -> Scores:
    """BM25 on the same queries and documents."""
    keys = sorted(ranking.qrels[TEST])
    found = Bm25(ranking.documents).search([ranking.queries[key] for key in keys], _DEPTH)
    run = {key: [document for document, _ in row] for key, row in zip(keys, found, strict=True)}
    return score_run(run, ranking.qrels[TEST], METRICS)


def general_scores(general: GeneralSet, encoder: Encoder) -> Mapping[str, float]:
    """Query id -> nDCG@10 on the general set."""
    scores = score_general([general], encoder.encode_queries, encoder.encode_passages)
    return scores.per_query[METRIC]
