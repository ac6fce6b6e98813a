"""One data set: every system on it, in the order base, ours, plain."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import training_recipes
from benchmarks.plan import SEED, TrainingPlan
from benchmarks.progress import say
from benchmarks.training_child import Device
from benchmarks.training_models import Encoded, Models, general_scores, score_model, score_words
from benchmarks.training_recipes import PlainRecipe, Trained
from benchmarks.training_scores import BASE, BM25, DECIDES, OURS, PLAIN, general_table, table_of
from benchmarks.training_sets import DEV, SPLIT_BY, SPLITS, TEST, TRAIN, RankingSet
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.recipe.settings import TrainingSettings
from embedloop.registry import resolve_base
from training.evaluation import Scores
from training.general import GeneralSet, packaged_general_set

# The defaults, for a budget that hardly lasts for one epoch: a mined negative costs as much as another pair.
RECIPE = TrainingSettings(hard_negatives=0, evaluations=2, seed=SEED)


NAMED = {TRAIN: "train", DEV: "dev", TEST: "test"}


class Bench:
    """Measures a data set; what it writes lies in a folder that may be thrown away afterwards."""

    def __init__(self, plan: TrainingPlan, device: Device, folder: Path):
        self._plan = plan
        self._device = device
        self._folder = folder
        self._base = resolve_base(DEFAULT_BASE_MODEL)
        self._general = _some(packaged_general_set(), plan.general_queries)
        self._models = Models(folder / "store", device)
        self._scores: dict[str, Scores] = {}
        self._forgotten: dict[str, Mapping[str, float]] = {}
        self._elsewhere: dict[str, Mapping[str, float]] = {}
        self._seconds: dict[str, float] = {}

    def measure(self, ranking: RankingSet, other: RankingSet) -> dict[str, Any]:
        """Ours goes first: what it takes, mining and merging included, is what the plain recipe gets.

        Args:
            ranking: The data set.
            other: One of another field, which nobody trains on and no policy looks at.
        """
        name = ranking.name
        say(f"{name}: base model and BM25, {len(ranking.documents)} documents")
        encoded = self._look(BASE, self._base, ranking, other)
        self._scores[BM25] = score_words(ranking)
        say(f"{name}: ours, {training_recipes.pair_counts(ranking)} pairs")
        ours = training_recipes.ours(
            self._base,
            ranking,
            encoded,
            self._general,
            self._settings(name),
            self._device,
            self._folder / OURS,
        )
        self._look(OURS, ours.model, ranking, other)
        say(f"{name}: plain recipe, for {ours.seconds:.0f} s")
        plain = training_recipes.plain(
            self._base, ranking, PlainRecipe(), ours.seconds, SEED, self._device, self._folder / PLAIN
        )
        self._look(PLAIN, plain.model, ranking, other)
        self._models.close()
        return self._told(ranking, other, {OURS: ours, PLAIN: plain})

    def _settings(self, name: str) -> TrainingSettings:
        budget = self._plan.sizes[name].seconds
        return RECIPE.model_copy(update={"time_budget_seconds": budget, "max_steps": self._plan.max_steps})

    def _look(self, system: str, folder: Path, ranking: RankingSet, other: RankingSet) -> Encoded:
        """Scores a model on the test queries, on the general set and on the other one."""
        texts = [ranking.documents[one] for one in sorted(ranking.documents)[:32]]
        encoder = self._models.encoder(folder, texts)
        begin = time.perf_counter()
        encoded = Encoded.of(encoder, ranking.documents)
        self._seconds[system] = round(time.perf_counter() - begin, 1)
        self._scores[system] = score_model(ranking, encoded)
        self._forgotten[system] = general_scores(self._general, encoder)
        elsewhere = score_model(other, Encoded.of(encoder, other.documents))
        self._elsewhere[system] = elsewhere.per_query[DECIDES]
        return encoded

    def _told(self, ranking: RankingSet, other: RankingSet, trained: Mapping[str, Trained]) -> dict[str, Any]:
        told = {
            "split": SPLIT_BY[ranking.name],
            "documents": len(ranking.documents),
            "queries": {NAMED[split]: len(ranking.qrels[split]) for split in SPLITS},
            "pairs": training_recipes.pair_counts(ranking),
            "documents_of_test_and_training": len(
                ranking.relevant(TEST) & (ranking.relevant(TRAIN) | ranking.relevant(DEV))
            ),
            "test": table_of(self._scores),
            "general": {"queries": len(self._general.queries)} | general_table(self._forgotten),
            "elsewhere": {
                "set": other.name,
                "documents": len(other.documents),
                "queries": len(other.qrels[TEST]),
                **general_table(self._elsewhere),
            },
            "training": {name: one.told for name, one in trained.items()},
            "encoding_seconds": dict(self._seconds),
        }
        unseen = ranking.unseen()
        if 1 < len(unseen) < len(ranking.qrels[TEST]):
            told["test_of_unseen_documents"] = table_of(self._scores, unseen)
        return told


def _some(general: GeneralSet, queries: int | None) -> GeneralSet:
    """The whole set, or for a smoke test its first queries with their documents."""
    if queries is None:
        return general
    kept = sorted(general.queries)[:queries]
    qrels = {query: general.qrels[query] for query in kept}
    documents = {one for grades in qrels.values() for one in grades}
    return replace(
        general,
        queries={query: general.queries[query] for query in kept},
        documents={one: general.documents[one] for one in sorted(documents)},
        qrels=qrels,
    )
