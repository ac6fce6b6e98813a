"""A passage that cannot be embedded: tried a bounded number of times, named, and the job fails readably."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from embedloop.applier import MAX_DOCUMENT_ATTEMPTS, NAMED_PASSAGES, View, apply_changes
from embedloop.catalog import documents, index_versions
from embedloop.corpus import passages_of
from embedloop.encoder import Encoder, Vectors, go_on
from embedloop.errors import InvalidInput, Unavailable
from embedloop.records.jobs import JobState
from embedloop.records.versions import FailedDocument, IndexState, ModelVersion
from tests.integration.bench import Bench
from tests.integration.conftest import LEASE, TEXTS, FakePoisonEncoder, World, faulty, poisoned
from workers import upkeep

# Twelve words a passage, of which one holds the poison.
LONG = " ".join(["fever cough cold flu influenza headache"] * 20)
POISONED = f"{LONG} toxin {LONG}"


def failed(world: World, view: View) -> list[FailedDocument]:
    identity = view.version.index_version_id
    with world.database.read() as connection:
        return index_versions.failed_documents(connection, identity, list(world.failures(view)))


def guilty(world: World, view: View, document_id: str, word: str = "toxin") -> list[str]:
    """The ids of the passages that hold the word, cut anew from the catalog."""
    with world.database.read() as connection:
        document = documents.get_many(connection, world.name, [document_id])[document_id]
    return [p.passage_id for p in passages_of(document, view.chunker) if word in p.text]


@dataclass
class FailingFor:
    """An encoder that breaks on a word a number of times, and then no more."""

    real: Encoder
    word: str
    times: int

    @property
    def dimension(self) -> int:
        return self.real.dimension

    @property
    def max_tokens(self) -> int:
        return self.real.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.real.encode_queries(texts)

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        if self.times > 0 and any(self.word in text for text in texts):
            self.times -= 1
            raise RuntimeError("a hiccup")
        return self.real.encode_passages(texts, check=check)


def test_the_passages_at_fault_are_named_and_no_other(world: World, tiny: ModelVersion) -> None:
    view = world.serve(tiny)
    world.put({"bad": POISONED, "good": LONG})
    world.apply(poisoned(view, "toxin"))
    (found,) = failed(world, view)
    assert found.document_id == "bad"
    assert list(found.passage_ids) == guilty(world, view, "bad")
    assert 1 <= len(found.passage_ids) < 3
    assert found.reason == "RuntimeError: the graph broke on toxin"
    assert world.documents(view) == {*TEXTS, "good"}, "nothing of the trials stays behind"


def test_what_milvus_refuses_is_named_by_its_passage_as_well(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = world.serve(tiny)
    world.put({"bad": POISONED})
    upsert = view.index.upsert

    def refusing(collection: str, passages: Any, vectors: Any) -> None:
        if any("toxin" in passage.text for passage in passages):
            raise InvalidInput("Milvus refused the call: not this")
        upsert(collection, passages, vectors)

    monkeypatch.setattr(view.index, "upsert", refusing)
    world.apply(view)
    (found,) = failed(world, view)
    assert list(found.passage_ids) == guilty(world, view, "bad")
    assert world.documents(view) == set(TEXTS)


def test_a_document_that_is_poison_all_over_names_a_bounded_number_of_passages(
    world: World, tiny: ModelVersion
) -> None:
    view = world.serve(tiny)
    world.put({"bad": "toxin " * 2000})
    world.apply(poisoned(view, "toxin"))
    (found,) = failed(world, view)
    assert len(found.passage_ids) == NAMED_PASSAGES


# Once beside the other document, then by itself.
@pytest.mark.parametrize(("hiccups", "survives"), [(MAX_DOCUMENT_ATTEMPTS, True), (99, False)])
def test_a_document_is_tried_a_bounded_number_of_times(
    world: World, tiny: ModelVersion, hiccups: int, survives: bool
) -> None:
    view = world.serve(tiny)
    world.put({"bad": "toxin", "other": "fever"})
    encoder = FailingFor(view.encoder, "toxin", hiccups)
    assert apply_changes(replace(view, encoder=encoder), lease_seconds=LEASE) is not None
    assert (world.failures(view) == {}) is survives
    assert ("bad" in world.documents(view)) is survives
    # Beside the other one, by itself, and once more to see which passage it is.
    assert hiccups - encoder.times == MAX_DOCUMENT_ATTEMPTS + (0 if survives else 2)


def test_a_milvus_that_goes_away_during_the_search_for_passages_blames_nobody(
    world: World, tiny: ModelVersion
) -> None:
    view = world.serve(tiny)
    world.put({"bad": POISONED})
    bad = replace(view, encoder=FakePoisonEncoder(view.encoder, "toxin"))
    with pytest.raises(Unavailable):
        apply_changes(faulty(bad, "upsert", Unavailable("away")), lease_seconds=LEASE)
    assert world.failures(view) == {}
    world.apply(bad)
    assert [found.document_id for found in failed(world, view)] == ["bad"]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    """The word breaks the encoder of every worker from now on."""
    real = bench.parts.encoders.get
    monkeypatch.setattr(bench.parts.encoders, "get", lambda model: FakePoisonEncoder(real(model), "toxin"))


def test_a_poisoned_shard_fails_the_job_with_document_and_passages_and_leaves_what_serves_alone(
    bench: Bench, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = bench.world
    serving = bench.finish(bench.submit(model_version=tiny.model_id)).checkpoint["index_version"]
    world.put({"bad": POISONED})
    world.apply(world.view(world.version(serving)))
    real = bench.parts.encoders.get
    monkeypatch.setattr(bench.parts.encoders, "get", lambda model: FakePoisonEncoder(real(model), "toxin"))

    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "verify")
    job = bench.run(job_id)

    assert (job.state, job.stage) == (JobState.FAILED, "verify")
    view = world.view(world.version(serving))
    (passage,) = guilty(world, view, "bad")
    assert job.error is not None
    assert job.error["code"] == "verification_failed"
    assert (
        f"1 documents cannot be embedded: document 'bad', passage {passage} "
        "(RuntimeError: the graph broke on toxin)" in job.error["message"]
    )
    assert world.corpus().serving == serving
    assert {version.state for version in bench.versions()} == {IndexState.SERVING, IndexState.RETIRED}
    assert "bad" in world.documents(view)


@pytest.mark.usefixtures("poison")
def test_a_document_that_the_serving_version_could_not_embed_either_fails_no_candidate(
    bench: Bench, tiny: ModelVersion
) -> None:
    world = bench.world
    serving = bench.finish(bench.submit(model_version=tiny.model_id)).checkpoint["index_version"]
    world.put({"bad": POISONED})
    view = world.view(world.version(serving))
    world.apply(poisoned(view, "toxin"))
    job = bench.finish(bench.submit(model_version=tiny.model_id))
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.checkpoint["verification"]["failures"] == 1
    assert job.checkpoint["verification"]["failed_documents"] == []


@pytest.mark.usefixtures("poison")
def test_the_report_of_a_failed_version_outlives_its_collection(bench: Bench, tiny: ModelVersion) -> None:
    bench.world.put({"bad": "toxin"})
    job_id = bench.submit(model_version=tiny.model_id)
    bench.run_until(job_id, "verify")
    bench.run(job_id)
    (version,) = bench.versions()
    assert version.state is IndexState.RETIRED
    assert version.retired_at is not None
    upkeep.reconcile(bench.parts)
    assert not bench.world.index.exists(version.collection)
    (version,) = bench.versions()
    assert version.verification is not None
    assert version.verification["passed"] is False
    (told,) = version.verification["failed_documents"]
    assert (told["document_id"], told["reason"]) == ("bad", "RuntimeError: the graph broke on toxin")
    assert len(told["passage_ids"]) == 1
