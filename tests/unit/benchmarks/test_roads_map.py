"""The roads that move queries alone, over a tiny model's vectors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import pytest

from benchmarks.roads_map import by_bridge, by_map
from benchmarks.roads_measure import Served
from benchmarks.training_models import Encoded
from benchmarks.training_recipes import labelled
from benchmarks.training_sets import TEST, RankingSet
from embedloop.recipe.query_map import MapKind
from embedloop.records.labels import Split
from embedloop.records.versions import ModelVersion
from embedloop.registry import ModelStore, load_encoder
from tests.conftest import WORDS


def ranking() -> RankingSet:
    """Each document is two words; people ask with the one, and are tested with the other."""
    pairs = [(WORDS[n], WORDS[n + 1]) for n in range(0, 48, 2)]
    documents = {f"d{n}": f"{first} {second}" for n, (first, second) in enumerate(pairs)}
    queries = {f"{split}{n}": pairs[n][split != TEST] for split in Split for n in range(len(pairs))}
    qrels = {split: {f"{split}{n}": {f"d{n}": 1} for n in range(len(pairs))} for split in Split}
    return RankingSet("tiny", documents, queries, qrels)


def served(store: ModelStore, model: ModelVersion, one: RankingSet) -> Served:
    encoder = load_encoder(store, model, threads=1, batch_size=8)
    return Served(store.fetch(model.model_id), Encoded.of(encoder, one.documents), 1.5)


@pytest.fixture(scope="module")
def walk(model_store: ModelStore, tiny: ModelVersion, other_tiny: ModelVersion) -> Any:
    """What a walk has when it has fine-tuned."""
    one = ranking()
    return SimpleNamespace(
        ranking=one,
        labelled=labelled(one),
        base=served(model_store, tiny, one),
        tuned_served=served(model_store, other_tiny, one),
        tuned=SimpleNamespace(cpu_seconds=40.0),
    )


@pytest.mark.parametrize("kind", get_args(MapKind))
def test_a_map_is_scored_with_the_bases_passages(walk: Any, kind: MapKind) -> None:
    found = by_map(walk, kind)
    assert found.told["query_map"]["kind"] == kind
    assert (found.cost["dimension"], found.cost["passage_cpu_ms"]) == (32, 1.5)
    assert len(found.scores.queries) == len(walk.ranking.documents)


def test_a_bridge_costs_the_training_too_and_has_the_bases_dimension(walk: Any) -> None:
    found = by_bridge(walk)
    assert found.cost["dimension"] == 32
    assert (found.cost["training_cpu_seconds"] or 0) > 40
    assert -1 <= found.told["bridge"]["cosine"] <= 1
