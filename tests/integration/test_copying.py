"""Building a version whose passages another one holds already: rows are copied, and the rest is as ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from embedloop.applier import View
from embedloop.catalog import models
from embedloop.copying import StoredVectors
from embedloop.encoder import Encoder, Vectors, go_on
from embedloop.mapped import register_mapped
from embedloop.query_map import QueryMap
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.versions import ModelVersion
from tests.integration.bench import Bench
from tests.integration.conftest import TEXTS, World
from tests.patience import eventually


@dataclass
class CountingEncoder:
    """The real encoder, which remembers the passages that it was given."""

    real: Encoder
    encoded: list[str] = field(default_factory=list)

    @property
    def dimension(self) -> int:
        return self.real.dimension

    @property
    def max_tokens(self) -> int:
        return self.real.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.real.encode_queries(texts)

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        self.encoded.extend(texts)
        return self.real.encode_passages(texts, check=check)


def turned(world: World, model: ModelVersion) -> ModelVersion:
    """A model version with the same passages, whose queries look for the opposite."""
    with world.database.write() as connection:
        models.add(connection, model)
    opposite = QueryMap.linear(-np.eye(model.dimension, dtype=np.float32))
    return register_mapped(
        world.database, world.store, model, opposite, corpus=world.name, training_set_id=None, metrics={}
    )


def copying(world: World, view: View, source: View) -> tuple[View, CountingEncoder]:
    counting = CountingEncoder(view.encoder)
    stored = StoredVectors(world.index, source.version.collection)
    return replace(view, encoder=counting, source=stored), counting


def vectors_of(world: World, view: View) -> dict[str, bytes]:
    pages = world.index.scan(view.version.collection, with_vectors=True)
    return {row.passage_id: np.asarray(row.vector).tobytes() for page in pages for row in page}


def test_a_version_with_a_map_is_built_without_encoding_a_passage(world: World, tiny: ModelVersion) -> None:
    serving = world.serve(tiny)
    view, counting = copying(world, world.plan(turned(world, tiny)), serving)
    world.embed(view)
    found = world.verify(view)
    assert found.passed, found.reasons
    assert counting.encoded == []
    assert vectors_of(world, view) == vectors_of(world, serving)
    nearest = world.ask(serving, "tooth decay", limit=len(TEXTS))
    assert world.ask(view, "tooth decay", limit=1)[0].passage == nearest[-1].passage


def test_what_the_source_does_not_hold_is_encoded(world: World, tiny: ModelVersion) -> None:
    serving = world.serve(tiny)
    world.delete("heart")
    world.put({"nose": "nosebleed", "new": "red eye"})
    view, counting = copying(world, world.plan(turned(world, tiny)), serving)
    world.embed(view)
    assert sorted(counting.encoded) == ["nosebleed", "red eye"]
    assert world.verify(view).passed
    assert world.documents(view) == {*TEXTS, "new"} - {"heart"}


def test_a_row_whose_text_was_cut_otherwise_is_encoded(world: World, tiny: ModelVersion) -> None:
    serving = world.serve(tiny)
    (row,) = [hit.passage for hit in world.ask(serving, TEXTS["tooth"], limit=1)]
    assert row.document_id == "tooth"
    wrong = np.ones((1, tiny.dimension), dtype=np.float32) / np.sqrt(tiny.dimension)
    world.index.upsert(serving.version.collection, [replace(row, text="tooth")], wrong.astype(np.float32))
    view, counting = copying(world, world.plan(turned(world, tiny)), serving)
    world.embed(view)
    assert counting.encoded == [TEXTS["tooth"]]


def test_a_source_that_was_dropped_costs_time_and_nothing_else(world: World, tiny: ModelVersion) -> None:
    other = world.build(tiny)
    view, counting = copying(world, world.plan(turned(world, tiny)), other)
    world.index.drop(other.version.collection)
    world.embed(view)
    assert len(counting.encoded) == len(TEXTS)
    assert world.verify(view).passed


def test_a_mapped_version_is_built_served_and_rolled_back_as_any_other(
    bench: Bench, tiny: ModelVersion
) -> None:
    world = bench.world
    serving_id = world.serve(tiny).version.index_version_id
    mapped = turned(world, tiny)
    world.pass_gate(mapped)
    counting = CountingEncoder(bench.parts.encoders.get(mapped))
    bench.parts.encoders._add(mapped.model_id, counting)
    job = bench.finish(bench.submit(JobKind.REINDEX, model_version=mapped.model_id))
    assert job.state is JobState.SUCCEEDED, job.error
    assert counting.encoded == []
    replica = world.replica()
    assert replica.serving(world.name).model == mapped
    world.rollback()
    eventually(lambda: replica.serving(world.name).version.index_version_id == serving_id, "the version before")
