"""A replica's re-ranker: part of the one frozen value, loaded before it counts, never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedloop.catalog import corpora
from embedloop.errors import ModelRefused
from embedloop.recipe.reranking import Reranking
from embedloop.records.versions import ModelVersion
from embedloop.rerankers import load_reranker, register_reranker
from tests.integration.conftest import World
from tests.patience import eventually
from tests.tiny_model import build_tiny_cross_encoder, build_tiny_model
from training.model_files import load_cross_encoder
from training.reranker_export import export_reranker


@pytest.fixture
def reranker(world: World, tmp_path: Path) -> ModelVersion:
    """A tiny cross-encoder in the world's catalog, as a training saves it."""
    raw = build_tiny_cross_encoder(tmp_path / "raw", build_tiny_model(tmp_path / "base"))
    folder = tmp_path / "model"
    load_cross_encoder(raw).save_pretrained(str(folder), create_model_card=False)

    def export(copy: Path) -> None:
        export_reranker(copy)

    return register_reranker(
        world.database,
        world.store,
        folder,
        base="tiny",
        export=export,
        corpus=world.name,
        training_set_id="ts-1",
        metrics={},
    )


def rerank(world: World, model: str | None, depth: int = 20) -> None:
    with world.database.write() as connection:
        policy = world.corpus().policy
        reranking = Reranking(model=model, depth=depth)
        corpora.set_policy(connection, world.name, policy.model_copy(update={"reranking": reranking}))


def test_a_reranker_is_loaded_when_the_replica_starts_and_follows_the_policy(
    world: World, tiny: ModelVersion, reranker: ModelVersion
) -> None:
    world.serve(tiny)
    rerank(world, reranker.model_id)
    replica = world.replica()
    first = replica.serving(world.name)
    assert first.reranking is not None
    assert (first.reranking.model_id, first.reranking.depth) == (reranker.model_id, 20)
    assert len(first.reranking.reranker.score("gout", ["gout", "flu"])) == 2

    rerank(world, reranker.model_id, depth=5)
    replica.refresh()
    second = replica.serving(world.name).reranking
    assert second is not None
    assert second.depth == 5
    assert second.reranker is first.reranking.reranker

    rerank(world, None)
    replica.refresh()
    assert replica.serving(world.name).reranking is None
    assert first.reranking.depth == 20


def test_a_swap_keeps_the_reranker(world: World, tiny: ModelVersion, reranker: ModelVersion) -> None:
    world.serve(tiny)
    rerank(world, reranker.model_id)
    replica = world.replica()
    before = replica.serving(world.name)
    world.serve(tiny)
    after = replica.serving(world.name)
    assert after.version != before.version
    assert after.reranking == before.reranking


def test_a_reranker_that_cannot_be_loaded_leaves_searches_and_readiness_alone(
    world: World, tiny: ModelVersion
) -> None:
    world.serve(tiny)
    rerank(world, "m-nowhere")
    replica = world.replica()
    assert replica.serving(world.name).reranking is None
    assert replica.fault is None


def test_a_new_reranker_counts_only_once_it_is_loaded(
    world: World, tiny: ModelVersion, reranker: ModelVersion
) -> None:
    world.serve(tiny)
    replica = world.replica()
    rerank(world, reranker.model_id)
    eventually(lambda: replica.serving(world.name).reranking is not None, "the re-ranker is loaded")
    rerank(world, "m-nowhere")
    replica.refresh()
    still = replica.serving(world.name).reranking
    assert still is not None
    assert still.model_id == reranker.model_id


def test_changed_files_are_refused(world: World, reranker: ModelVersion) -> None:
    path = world.store.fetch(reranker.model_id) / "config.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(ModelRefused, match="differs from its manifest"):
        load_reranker(world.store, reranker, threads=1)
    path.write_text(path.read_text()[:-1])
