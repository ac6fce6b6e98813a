"""Going the roads on one data set, each from the same base, pairs and passages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import training_child
from benchmarks.plan import SEED, RoadsPlan
from benchmarks.roads_measure import Clock, Reached, Served, reached, serve, timed
from benchmarks.training_models import Models, score_words
from benchmarks.training_recipes import labelled
from benchmarks.training_sets import DEV, TEST, RankingSet
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.recipe.compression import ExportSettings
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.training import TrainingPair
from embedloop.registry import resolve_base
from training.finetune import FinetuneConfig
from training.general import GeneralSet
from training.lexical import Bm25
from training.pairs import write_training_set

TUNED: Mapping[str, Any] = {"hard_negatives": 0, "evaluations": 2, "merge_alphas": (0.5, 0.75)}


@dataclass(frozen=True, slots=True)
class Trained:
    """A model folder, the CPU seconds that it took, and what the child told."""

    model: Path
    cpu_seconds: float
    result: Mapping[str, Any]


class Walk:
    """One data set; every road writes into a folder of its own."""

    def __init__(self, ranking: RankingSet, folder: Path, plan: RoadsPlan):
        self.ranking = ranking
        self.plan = plan
        self.folder = folder
        self.models = Models(folder / "store", "cpu")
        self.base_folder = resolve_base(DEFAULT_BASE_MODEL)

    def close(self) -> None:
        self.models.close()

    @cached_property
    def base(self) -> Served:
        """The untrained model."""
        return serve(self.models, self.base_folder, self.ranking)

    @cached_property
    def base_reached(self) -> Reached:
        return reached(self.base, self.ranking, 0.0)

    @cached_property
    def tuned(self) -> Trained:
        """The base, fine-tuned on the labelled pairs: where several roads begin."""
        return self.train("tuned", TUNED, self.labelled)

    @cached_property
    def tuned_served(self) -> Served:
        return serve(self.models, self.tuned.model, self.ranking)

    @cached_property
    def own_transformer(self) -> Trained:
        """A transformer from scratch, tuned on the labelled pairs at half of the default rate."""
        recipe = {**TUNED, "from_scratch": {"method": "transformer"}, "learning_rate": 1e-4}
        return self.train("own_transformer", recipe, self.labelled)

    @cached_property
    def labelled(self) -> list[TrainingPair]:
        """Pairs of the train and the dev split."""
        return labelled(self.ranking)

    @cached_property
    def passages(self) -> Path:
        """The documents' texts as a file."""
        path = self.folder / "passages.jsonl"
        texts = [self.ranking.documents[one] for one in sorted(self.ranking.documents)]
        path.write_text(
            "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8"
        )
        return path

    def train(
        self,
        name: str,
        settings: Mapping[str, Any],
        pairs: Sequence[TrainingPair],
        base: Path | None = None,
    ) -> Trained:
        """Runs the training child on these pairs, as a job does.

        Raises:
            TrainingFailed: It ended without a model.
        """
        out = self.folder / name
        clock = Clock()
        result = training_child.finetune(
            FinetuneConfig(
                base=base or self.base_folder,
                out=out / "run",
                training_set=write_training_set(pairs, out / "set").path,
                settings=TrainingSettings.model_validate(
                    {"seed": SEED, "max_steps": self.plan.max_steps, **settings}
                ),
                query_prompt="",
                passage_prompt="",
                passages=self.passages,
            )
        )
        return Trained(Path(result["model"]), clock.seconds(), result)

    def by_recipe(
        self,
        name: str,
        settings: Mapping[str, Any],
        pairs: Sequence[TrainingPair] | None = None,
        base: Path | None = None,
    ) -> Reached:
        """Trains, serves and scores; on the labelled pairs unless others are given."""
        return self.reached_by(self.train(name, settings, self.labelled if pairs is None else pairs, base))

    def reached_by(self, trained: Trained) -> Reached:
        """Serves and scores a trained model."""
        told = {one: trained.result[one] for one in ("steps", "course", "notes")}
        return reached(serve(self.models, trained.model, self.ranking), self.ranking, trained.cpu_seconds, told)

    def with_told(self, found: Reached, told: Mapping[str, Any]) -> Reached:
        """The same with more to tell."""
        return replace(found, told={**found.told, **told})

    def quantised(self) -> Reached:
        """The tuned model as an int8 graph, the faster of two ways; its fidelity to fp32 is told."""
        served = serve(self.models, self.tuned.model, self.ranking, ExportSettings(precision="int8"), self.dev)
        found = reached(served, self.ranking, self.tuned.cpu_seconds)
        return self.with_told(found, {"export": self.models.export_of(served.folder)})

    @cached_property
    def dev(self) -> GeneralSet:
        """Dev queries with the documents that answer them."""
        qrels = self.ranking.qrels[DEV]
        documents = sorted(self.ranking.relevant(DEV))
        return GeneralSet(
            "dev",
            {key: self.ranking.queries[key] for key in qrels},
            {one: self.ranking.documents[one] for one in documents},
            qrels,
        )

    def words(self) -> Reached:
        """BM25: no model at all."""
        index = Bm25(self.ranking.documents)
        queries = [self.ranking.queries[key] for key in sorted(self.ranking.qrels[TEST])]
        spent = timed(queries[:60], lambda text: index.search([text], 10))
        cost = {
            "training_cpu_seconds": 0.0,
            "passage_cpu_ms": None,
            "query_ms": spent,
            "dimension": None,
            "model_mb": None,
        }
        return Reached(score_words(self.ranking), cost)
