"""Metrics of an index: on each server every one gives the cosine, and a corpus moves between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from embedloop import reembed
from embedloop.applier import View
from embedloop.catalog import corpora, documents, models
from embedloop.catalog.database import Database
from embedloop.corpus import passages_of
from embedloop.index import MilvusIndex
from embedloop.policy import Chunking, IndexSettings, IndexType, MetricType, Policy
from embedloop.records import ModelVersion
from embedloop.registry import ModelStore
from embedloop.text.chunking import embedding_text
from tests.contract.test_index import DIMENSION, passage, unit_vectors
from tests.integration.conftest import World

ROWS = 300
TEXTS = {
    f"d{n:02}": ". ".join(f"{word} and {other} number {n}" for other in ("fever", "cough", "skin rash", "burn"))
    for n, word in enumerate(
        ["nosebleed", "heart attack", "kidney stone", "migraine", "tooth decay", "flu"] * 3
    )
}
QUERIES = ["heart attack and fever", "kidney stone", "burn of the skin"]


@pytest.mark.parametrize("metric_type", get_args(MetricType))
@pytest.mark.parametrize("index_type", get_args(IndexType))
def test_a_score_is_the_cosine_whatever_metric_and_index_type(
    index: MilvusIndex, unique: str, index_type: IndexType, metric_type: MetricType
) -> None:
    settings = IndexSettings(index_type=index_type, metric_type=metric_type)
    if index_type not in index.capabilities().index_types:
        pytest.skip(f"{index.capabilities().server} cannot do {index_type}")
    vectors = unit_vectors(ROWS)
    index.create(unique, DIMENSION, settings)
    index.upsert(unique, [passage(f"d{n}") for n in range(ROWS)], vectors)
    index.flush(unique)
    index.load(unique)
    queries = unit_vectors(20, seed=5)
    answers = index.search(unique, queries, 10, settings=settings, strong=True)
    index.drop(unique)
    # A quantised index ranks and scores coarsely.
    coarse = index_type in ("IVF_SQ8", "HNSW_SQ", "IVF_RABITQ")
    for query, hits in zip(queries, answers, strict=True):
        exact = [float(query @ vectors[int(hit.passage.document_id[1:])]) for hit in hits]
        scores = [hit.score for hit in hits]
        assert len(hits) == 10
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(scores, exact, atol=0.03 if coarse else 1e-4)
        assert scores[0] == pytest.approx(float((vectors @ query).max()), abs=0.03 if coarse else 1e-4)


@pytest.fixture
def world(
    database: Database,
    index: MilvusIndex,
    model_store: ModelStore,
    tiny: ModelVersion,
    other_tiny: ModelVersion,
    unique: str,
    tmp_path: Path,
) -> Iterator[World]:
    with database.write() as connection:
        corpora.add(connection, unique, Policy())
        models.add(connection, tiny)
        models.add(connection, other_tiny)
    made = World(unique, database, index, model_store, tmp_path)
    made.put(TEXTS)
    yield made
    made.close()


def planned(world: World, model: ModelVersion, chunking: Chunking, settings: IndexSettings) -> View:
    with world.database.write() as connection:
        version = reembed.plan(
            connection,
            corpus=world.name,
            model=model,
            chunking=chunking,
            index=settings,
            job_id="j-test",
            shard_chars=10_000,
            shard_documents=7,
        )
    world.index.create(version.collection, model.dimension, version.index)
    world.collections.append(version.collection)
    return world.view(version)


def check_searches(world: World, view: View, live: dict[str, str]) -> None:
    """Brute force over what the catalog holds, with the version's own model and chunking, is the oracle."""
    with world.database.read() as connection:
        stored = documents.get_many(connection, world.name, sorted(live))
    passages = [p for document in stored.values() for p in passages_of(document, view.chunker)]
    vectors = view.encoder.encode_passages([embedding_text(p.title, p.text) for p in passages])
    ids = [p.passage_id for p in passages]
    for query in QUERIES:
        cosines = dict(zip(ids, (view.encoder.encode_queries([query]) @ vectors.T)[0], strict=True))
        hits = world.ask(view, query, 5)
        own: list[Any] = [cosines[hit.passage.passage_id] for hit in hits]
        np.testing.assert_allclose([hit.score for hit in hits], own, atol=1e-4)
        np.testing.assert_allclose(own, sorted(cosines.values(), reverse=True)[:5], atol=1e-4)


def test_a_corpus_moves_through_changes_of_dimension_metric_index_type_and_chunking(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    short, long = Chunking(max_tokens=16), Chunking(max_tokens=48, overlap_tokens=8)
    steps = [
        (tiny, short, IndexSettings()),
        (other_tiny, short, IndexSettings()),
        (other_tiny, short, IndexSettings(metric_type="L2")),
        (other_tiny, short, IndexSettings(metric_type="L2", index_type="FLAT")),
        (other_tiny, long, IndexSettings(metric_type="L2", index_type="FLAT")),
        (tiny, short, IndexSettings(metric_type="IP", index_type="IVF_FLAT", ef_search=512)),
    ]
    live = dict(TEXTS)
    served: list[View] = []
    for number, (model, chunking, settings) in enumerate(steps):
        view = planned(world, model, chunking, settings)
        world.embed(view)
        live[f"since-{number}"] = f"written meanwhile, number {number}, migraine"
        world.put({f"since-{number}": live[f"since-{number}"]})
        found = world.verify(view)
        assert found.passed, found.reasons
        assert found.recall == pytest.approx(1.0)
        for standing in served[-1:]:
            world.apply(standing)
            check_searches(world, standing, live)
        world.pass_gate(model)
        world.promote(view)
        check_searches(world, view, live)
        served.append(view)
    world.put({"last": "headache"})
    world.apply(served[-2])
    assert world.rollback().serving == served[-2].version.index_version_id
    check_searches(world, served[-2], live | {"last": "headache"})
