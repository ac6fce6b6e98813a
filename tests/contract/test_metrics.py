"""Metrics of an index: on each server every one gives the cosine, and a corpus moves between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from embedloop import reembed
from embedloop.applier import View
from embedloop.capabilities import ServerKind
from embedloop.catalog import corpora, documents, models
from embedloop.catalog.database import Database
from embedloop.copying import StoredVectors
from embedloop.corpus import passages_of
from embedloop.errors import InvalidInput
from embedloop.index import MilvusIndex
from embedloop.policy import Chunking, IndexSettings, IndexType, MetricType, Policy
from embedloop.records.versions import IndexState, ModelVersion
from embedloop.registry import ModelStore
from embedloop.text.chunking import embedding_text
from tests.contract.rows import DIMENSION, passage, unit_vectors
from tests.integration.conftest import World

ROWS = 300
TEXTS = {
    f"d{n:02}": ". ".join(f"{word} and {other} number {n}" for other in ("fever", "cough", "skin rash", "burn"))
    for n, word in enumerate(
        ["nosebleed", "heart attack", "kidney stone", "migraine", "tooth decay", "flu"] * 3
    )
}
QUERIES = ["heart attack and fever", "kidney stone", "burn of the skin"]


# Every row is scored again: what is missed then is the rounding of int8.
BITS = [
    IndexSettings(vector_type="binary", index_type=kind, rescore_factor=30) for kind in ("FLAT", "IVF_FLAT")
]


@pytest.mark.parametrize("settings", BITS, ids=lambda settings: settings.index_type)
def test_bits_are_searched_by_their_distance_and_scored_again_by_the_cosine(
    index: MilvusIndex, unique: str, settings: IndexSettings
) -> None:
    if "binary" not in index.capabilities().vector_types:
        with pytest.raises(InvalidInput, match="cannot do binary; it can do float32") as refusal:
            index.create(unique, DIMENSION, settings)
        assert refusal.value.field == "policy.index.vector_type"
        assert not index.exists(unique)
        return
    # Of no whole number of bytes.
    vectors = unit_vectors(ROWS, dimension=36)
    rows = [passage(f"d{n}") for n in range(ROWS)]
    index.create(unique, 36, settings)
    index.upsert(unique, rows, vectors)
    index.seal(unique)
    index.delete(unique, [rows[0].passage_id])
    queries = unit_vectors(20, seed=5, dimension=36)
    answers = index.search(unique, queries, 10, settings=settings, strong=True)
    stored = index.vectors(unique, [row.passage_id for row in rows])
    scanned = [row for page in index.scan(unique, with_vectors=True) for row in page]
    index.drop(unique)
    assert {row.passage_id for row in scanned} == set(stored) == {row.passage_id for row in rows[1:]}
    for row in scanned:
        np.testing.assert_array_equal(row.vector, stored[row.passage_id])
    found = 0
    for query, hits in zip(queries, answers, strict=True):
        exact = vectors[1:] @ query
        own = [float(query @ vectors[int(hit.passage.document_id[1:])]) for hit in hits]
        assert len(hits) == 10
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        np.testing.assert_allclose([hit.score for hit in hits], own, atol=0.02)
        # The same product, added up in another order.
        found += sum(score >= np.sort(exact)[-10] - 1e-6 for score in own)
    assert found >= 0.98 * 200


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
    coarse = index_type in ("HNSW_SQ", "IVF_RABITQ")
    for query, hits in zip(queries, answers, strict=True):
        exact = [float(query @ vectors[int(hit.passage.document_id[1:])]) for hit in hits]
        scores = [hit.score for hit in hits]
        assert len(hits) == 10
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(scores, exact, atol=0.03 if coarse else 1e-4)
        assert scores[0] == pytest.approx(float((vectors @ query).max()), abs=0.03 if coarse else 1e-4)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, index: MilvusIndex) -> str:
    """One catalog a server, as they are run together."""
    lite = index.capabilities().kind is ServerKind.LITE
    return str(request.getfixturevalue("sqlite_url" if lite else "postgresql_url"))


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
    off = 0.02 if view.version.index.vector_type == "binary" else 1e-4
    with world.database.read() as connection:
        stored = documents.get_many(connection, world.name, sorted(live))
    passages = [p for document in stored.values() for p in passages_of(document, view.chunker)]
    vectors = view.encoder.encode_passages([embedding_text(p.title, p.text) for p in passages])
    ids = [p.passage_id for p in passages]
    for query in QUERIES:
        cosines = dict(zip(ids, (view.encoder.encode_queries([query]) @ vectors.T)[0], strict=True))
        hits = world.ask(view, query, 5)
        own: list[Any] = [cosines[hit.passage.passage_id] for hit in hits]
        np.testing.assert_allclose([hit.score for hit in hits], own, atol=off)
        np.testing.assert_allclose(own, sorted(cosines.values(), reverse=True)[:5], atol=off)


def vectors_of(world: World, view: View) -> dict[str, bytes]:
    pages = world.index.scan(view.version.collection, with_vectors=True)
    return {row.passage_id: np.asarray(row.vector).tobytes() for page in pages for row in page}


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
    if "binary" in world.index.capabilities().vector_types:
        steps.append((tiny, short, BITS[0]))
    live = dict(TEXTS)
    served: list[View] = []
    for number, (model, chunking, settings) in enumerate(steps):
        view = planned(world, model, chunking, settings)
        world.embed(view)
        live[f"since-{number}"] = f"written meanwhile, number {number}, migraine"
        world.put({f"since-{number}": live[f"since-{number}"]})
        found = world.verify(view)
        assert found.passed, found.reasons
        # Neighbours that lie nearer to each other than int8 tells may change places.
        assert found.recall == pytest.approx(1.0, abs=0.05 if settings.vector_type == "binary" else 1e-6)
        for standing in served[-1:]:
            world.apply(standing)
            check_searches(world, standing, live)
        world.pass_gate(model)
        world.promote(view)
        check_searches(world, view, live)
        served.append(view)
    copy = planned(world, *steps[-1])
    world.embed(replace(copy, source=StoredVectors(world.index, served[-1].version.collection)))
    assert world.verify(copy).passed
    assert vectors_of(world, copy) == vectors_of(world, served[-1])
    world.put({"last": "headache"})
    world.apply(served[-2])
    assert world.rollback().serving == served[-2].version.index_version_id
    check_searches(world, served[-2], live | {"last": "headache"})


def test_bits_that_find_too_few_of_the_nearest_are_refused_with_what_to_change(
    world: World, tiny: ModelVersion
) -> None:
    if "binary" not in world.index.capabilities().vector_types:
        pytest.skip(f"{world.index.capabilities().server} stores no bits")
    settings = IndexSettings(vector_type="binary", index_type="FLAT", rescore_factor=1)
    view = planned(world, tiny, Chunking(max_tokens=16), settings)
    world.embed(view)
    found = world.verify(view)
    assert found.recall is not None
    assert found.reasons == [
        f"recall@10 against brute force is {found.recall:.3f}, below 0.95, with binary vectors: "
        "raise policy.index.rescore_factor or choose another policy.index.vector_type"
    ]
    assert world.version(view.version.index_version_id).state is IndexState.RETIRED
