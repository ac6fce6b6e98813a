"""The roads: a name, a title, the sets where one makes sense, and how it is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.roads_beside import by_reranker, by_two_stages, hybrid
from benchmarks.roads_map import by_bridge, by_map
from benchmarks.roads_measure import Reached, Served, reached, serve
from benchmarks.roads_pairs import by_augmentation, by_structure
from benchmarks.roads_walk import TUNED, Walk


@dataclass(frozen=True, slots=True)
class Road:
    """One road.

    Attributes:
        name: In the report.
        title: For readers.
        go: Goes it on one data set.
        sets: The only ones where it is gone; None goes it on all.
    """

    name: str
    title: str
    go: Callable[[Walk], Reached]
    sets: frozenset[str] | None = None

    def leads(self, name: str) -> bool:
        return self.sets is None or name in self.sets


def _fine_tune(walk: Walk) -> Reached:
    return reached(walk.tuned_served, walk.ranking, walk.tuned.cpu_seconds)


def _adapted(walk: Walk, name: str, adaptation: Mapping[str, Any], *, labels: bool) -> Reached:
    settings = {**TUNED, "adaptation": {"max_steps": walk.plan.max_steps, **adaptation}}
    return walk.by_recipe(name, settings, None if labels else [])


def _from_scratch(walk: Walk, method: str) -> tuple[Served, float]:
    """The static model, and the CPU seconds that it took."""
    trained = walk.train(method, {**TUNED, "from_scratch": {"method": method}}, [])
    return serve(walk.models, trained.model, walk.ranking), trained.cpu_seconds


def _alone(walk: Walk, method: str) -> Reached:
    return walk.by_recipe(method, {**TUNED, "from_scratch": {"method": method}}, [])


def _own_transformer_tuned(walk: Walk) -> Reached:
    return walk.reached_by(walk.own_transformer)


def _student(walk: Walk) -> Reached:
    return walk.by_recipe("student", {"student": {"layers": 3}}, [], walk.tuned.model)


ALIGNED: Mapping[str, Any] = {"new_terms": 1000, "objective": "align", "learning_rate": 2e-4, "epochs": 5}


def _static_tier(walk: Walk) -> tuple[Served, float]:
    """The static model that is made of the tuned one, and the CPU seconds that it took."""
    trained = walk.train("static", {"static": {"rescore": False}}, [], walk.tuned.model)
    return serve(walk.models, trained.model, walk.ranking), trained.cpu_seconds


def _static_alone(walk: Walk) -> Reached:
    served, seconds = _static_tier(walk)
    return reached(served, walk.ranking, seconds)


HPO, HINGLISH, HINDI = "hpo", "hinglish_top", "xquad_hi"
BOTH = frozenset({HPO, HINGLISH})
ONLY_HPO = frozenset({HPO})

ROADS = (
    Road("base", "base model", lambda walk: walk.base_reached),
    Road("bm25", "BM25", Walk.words),
    Road("structure", "pairs from structure, no labels", by_structure, ONLY_HPO),
    Road(
        "tsdae",
        "TSDAE, no labels",
        lambda walk: _adapted(walk, "tsdae", {"objective": "tsdae"}, labels=False),
        ONLY_HPO,
    ),
    Road(
        "simcse",
        "SimCSE, no labels",
        lambda walk: _adapted(walk, "simcse", {"objective": "simcse"}, labels=False),
        ONLY_HPO,
    ),
    Road("lsa", "LSA from scratch, no labels", lambda walk: _alone(walk, "lsa")),
    Road("fasttext", "FastText from scratch, no labels", lambda walk: _alone(walk, "fasttext")),
    Road(
        "transformer",
        "transformer from scratch, no labels",
        lambda walk: _alone(walk, "transformer"),
        frozenset({HPO, HINDI}),
    ),
    Road(
        "transformer_tuned",
        "transformer from scratch, then labels",
        _own_transformer_tuned,
        frozenset({HPO, HINDI}),
    ),
    Road(
        "transformer_hybrid",
        "transformer from scratch, then labels, with BM25",
        lambda walk: hybrid(
            walk,
            serve(walk.models, walk.own_transformer.model, walk.ranking),
            walk.own_transformer.cpu_seconds,
        ),
        frozenset({HINDI}),
    ),
    Road(
        "lsa_hybrid",
        "LSA from scratch with BM25",
        lambda walk: hybrid(walk, *_from_scratch(walk, "lsa")),
        frozenset({HINDI}),
    ),
    Road("finetune", "fine-tuned on labels", _fine_tune, BOTH),
    Road(
        "new_terms",
        "new terms, aligned, no labels",
        lambda walk: _adapted(walk, "new_terms", ALIGNED, labels=False),
        ONLY_HPO,
    ),
    Road(
        "vocabulary",
        "new terms, aligned, then labels",
        lambda walk: _adapted(walk, "vocabulary", ALIGNED, labels=True),
        ONLY_HPO,
    ),
    Road("augmentation", "labels and their variants", by_augmentation, BOTH),
    Road(
        "lora",
        "LoRA on labels",
        lambda walk: walk.by_recipe("lora", {**TUNED, "lora": {}, "learning_rate": 1e-3}),
        ONLY_HPO,
    ),
    Road("map_affine", "affine map of queries", lambda walk: by_map(walk, "affine"), BOTH),
    Road("map_low_rank", "low-rank map of queries", lambda walk: by_map(walk, "low_rank"), ONLY_HPO),
    Road("map_mlp", "MLP map of queries", lambda walk: by_map(walk, "mlp"), ONLY_HPO),
    Road("map_procrustes", "turn of queries", lambda walk: by_map(walk, "procrustes"), ONLY_HPO),
    Road("bridge", "fine-tuned queries, the base's passages", by_bridge, ONLY_HPO),
    Road(
        "hybrid",
        "fine-tuned, with BM25",
        lambda walk: hybrid(walk, walk.tuned_served, walk.tuned.cpu_seconds),
        BOTH,
    ),
    Road("reranker", "fine-tuned, with a re-ranker", by_reranker, ONLY_HPO),
    Road("int8", "fine-tuned, int8", Walk.quantised, ONLY_HPO),
    Road(
        "matryoshka",
        "fine-tuned, 128 dimensions",
        lambda walk: walk.by_recipe("matryoshka", {**TUNED, "matryoshka": (256, 128, 64), "dimension": 128}),
        BOTH,
    ),
    Road("student", "student with 3 of 6 layers", _student, ONLY_HPO),
    Road("static", "static tier of the fine-tuned", _static_alone, BOTH),
    Road(
        "two_stage",
        "static tier first, fine-tuned re-scores 50",
        lambda walk: by_two_stages(walk, *_static_tier(walk)),
        BOTH,
    ),
)
