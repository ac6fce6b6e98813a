"""Re-embedding while documents change, and verification that names what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from embedloop import reembed, verification
from embedloop.applier import apply_changes, following
from embedloop.catalog import corpora, index_versions, models, shards
from embedloop.corpus import put_documents
from embedloop.errors import Conflict, VerificationFailed
from embedloop.index_rows import passage_id
from embedloop.policy import IndexSettings, Policy
from embedloop.promotion import alias_of
from embedloop.records.documents import NewDocument, Passage
from embedloop.records.versions import IndexState, ModelVersion
from tests.integration.conftest import CHUNKING, LEASE, TEXTS, ProcessGone, World, faulty, poisoned


def test_a_good_version_holds_every_live_document_and_passes(world: World, tiny: ModelVersion) -> None:
    world.delete("sugar")
    view = world.plan(tiny)
    world.embed(view)
    found = world.verify(view)
    assert found.passed, found.reasons
    assert found.passages == found.expected == len(world.rows(view))
    assert (found.unknown, found.missing_documents, found.failures) == (0, 0, 0)
    assert found.recall == pytest.approx(1.0)
    assert world.documents(view) == set(TEXTS) - {"sugar"}
    assert world.version(view.version.index_version_id).state is IndexState.READY


def test_an_empty_corpus_makes_a_version_that_passes(world: World, tiny: ModelVersion) -> None:
    for document_id in TEXTS:
        world.delete(document_id)
    view = world.plan(tiny)
    world.embed(view)
    found = world.verify(view)
    assert found.passed, found.reasons
    assert (found.passages, found.recall) == (0, None)


def test_shards_cut_the_ids_without_gaps(world: World, tiny: ModelVersion) -> None:
    world.put({f"d{n:03}": "x" * 900 for n in range(40)})
    view = world.plan(tiny, shard_documents=7)
    with world.database.write() as connection:
        sent = shards.take_unsent(connection, view.version.index_version_id, 300)
    covered: list[str] = []
    for shard_id in sent:
        with world.database.write() as connection:
            shard = shards.claim(connection, shard_id, LEASE)
        assert shard is not None
        reembed.embed_shard(view, shard)
        placed = world.documents(view) - set(covered)
        assert 1 <= len(placed) <= 7
        assert all(shard.first_document_id <= d <= shard.last_document_id for d in placed)
        covered.extend(placed)
    assert sorted(covered) == sorted({*TEXTS, *(f"d{n:03}" for n in range(40))})


def test_a_document_longer_than_a_shard_gets_a_shard_of_its_own(world: World, tiny: ModelVersion) -> None:
    world.put({"long": "fever " * 4000})
    view = world.plan(tiny)
    world.embed(view)
    assert world.verify(view).passed
    assert len([row for row in world.rows(view) if row[0] == "long"]) > 100


def test_a_shard_embedded_twice_changes_nothing(world: World, tiny: ModelVersion) -> None:
    view = world.plan(tiny, shard_documents=10)
    with world.database.write() as connection:
        (shard_id,) = shards.take_unsent(connection, view.version.index_version_id, 300)
        shard = shards.claim(connection, shard_id, LEASE)
    assert shard is not None
    assert reembed.embed_shard(view, shard) == len(TEXTS)
    before = world.rows(view)
    assert reembed.embed_shard(view, shard) == 0
    assert world.rows(view) == before


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_shard_whose_worker_was_killed_is_finished_by_the_next(
    world: World, tiny: ModelVersion, after_effect: bool
) -> None:
    view = world.plan(tiny, shard_documents=10)
    with world.database.write() as connection:
        (shard_id,) = shards.take_unsent(connection, view.version.index_version_id, 300)
        shard = shards.claim(connection, shard_id, -1)
    assert shard is not None
    with pytest.raises(ProcessGone):
        reembed.embed_shard(faulty(view, "upsert", after_effect=after_effect), shard)
    world.embed_one(view, shard_id)
    reembed.finish_backfill(world.database, view.version.index_version_id)
    found = world.verify(view)
    assert found.passed, found.reasons


def test_what_changes_during_the_backfill_ends_as_the_catalog_has_it(world: World, tiny: ModelVersion) -> None:
    view = world.plan(tiny)
    identity = view.version.index_version_id
    with world.database.write() as connection:
        first, *others = shards.take_unsent(connection, identity, 300)
    world.embed_one(view, first)
    embedded = sorted(world.documents(view))
    (changed,) = world.put({embedded[0]: "cough cold flu"})
    world.delete(embedded[1])
    waiting = sorted(set(TEXTS) - set(embedded))
    world.delete(waiting[0])
    (later,) = world.put({waiting[1]: "red eye", "zz-new": "ear ache"})[:1]
    assert apply_changes(view, lease_seconds=LEASE) is None, "nobody follows before the backfill is over"
    for shard_id in others:
        world.embed_one(view, shard_id)
    reembed.finish_backfill(world.database, identity)
    found = world.verify(view)
    assert found.passed, found.reasons
    assert world.documents(view) == {*TEXTS, "zz-new"} - {embedded[1], waiting[0]}
    rows = dict(world.rows(view))
    assert rows[embedded[0]] == changed.rev
    assert rows[waiting[1]] == later.rev
    assert world.ask(view, "ear ache")[0].passage.document_id == "zz-new"


def test_a_write_in_the_middle_of_verification_fails_no_good_version(world: World, tiny: ModelVersion) -> None:
    view = world.plan(tiny)
    world.embed(view)
    with following(view, lease_seconds=LEASE) as held:
        assert held is not None
        held.catch_up()
        world.put({"heart": "changed before the sweep"})
        world.delete("nose")
        reembed.sweep(view)
        world.put({"skin": "changed after the sweep", "brand-new": "fever"})
        world.delete("tooth")
        found = verification.verify(view, failures_allowed=())
    assert found.passed, found.reasons
    assert found.expected == 2
    world.settle(view, found)
    world.apply(view)
    assert world.documents(view) == {*TEXTS, "brand-new"} - {"nose", "tooth"}


def test_a_missing_row_fails_the_version(world: World, tiny: ModelVersion) -> None:
    view = world.plan(tiny)
    world.embed(view)
    lost = next(row for page in world.index.scan(view.version.collection) for row in page)
    world.index.delete(view.version.collection, [lost.passage_id])
    found = world.verify(view)
    assert not found.passed
    assert any("1 expected keys are absent, 0 are unexpected" in reason for reason in found.reasons)
    assert any(f"count(*) is {found.expected - 1}" in reason for reason in found.reasons)
    with pytest.raises(VerificationFailed, match="1 expected keys are absent"):
        verification.require(found, view.version.index_version_id)


def test_a_row_too_many_fails_the_version(world: World, tiny: ModelVersion) -> None:
    view = world.plan(tiny)
    world.embed(view)
    (row, *_) = [row for page in world.index.scan(view.version.collection) for row in page]
    extra = Passage(passage_id(row.document_id, row.rev, 99), row.document_id, row.rev, 99, "", "extra", {})
    world.index.upsert(view.version.collection, [extra], view.encoder.encode_passages(["extra"]))
    found = world.verify(view)
    assert found.unknown == 1
    assert any("0 expected keys are absent, 1 are unexpected" in reason for reason in found.reasons)


def test_a_missing_document_fails_the_version_by_name(world: World, tiny: ModelVersion) -> None:
    view = world.plan(tiny, shard_documents=3)
    with world.database.write() as connection:
        first, _ = shards.take_unsent(connection, view.version.index_version_id, 300)
    world.embed_one(view, first)
    reembed.finish_backfill(world.database, view.version.index_version_id)
    found = world.verify(view)
    assert found.missing_documents == 3
    assert any("3 live documents are absent, first ['skin', 'sugar', 'tooth']" in r for r in found.reasons)
    assert world.version(view.version.index_version_id).state is IndexState.RETIRED


def test_a_placement_that_was_never_written_counts_as_missing(world: World, tiny: ModelVersion) -> None:
    view = world.plan(tiny, shard_documents=10)
    with world.database.write() as connection:
        (shard_id,) = shards.take_unsent(connection, view.version.index_version_id, 300)
        shard = shards.claim(connection, shard_id, LEASE)
    assert shard is not None
    with pytest.raises(ProcessGone):
        reembed.embed_shard(faulty(view, "upsert"), shard)
    reembed.finish_backfill(world.database, view.version.index_version_id)
    found = world.verify(view)
    assert found.missing_documents == len(TEXTS)


def test_a_document_that_cannot_be_embedded_fails_the_version_unless_the_serving_one_lacks_it_too(
    world: World, tiny: ModelVersion
) -> None:
    world.put({"bad": "toxin"})
    view = world.plan(tiny)
    world.embed(poisoned(view, "toxin"))
    found = world.verify(view, failures_allowed=["bad"])
    assert found.passed, found.reasons
    assert (found.failures, found.missing_documents) == (1, 0)
    found = world.verify(view)
    assert not found.passed
    (reason,) = found.reasons
    assert reason.startswith("1 documents cannot be embedded: document 'bad', passage ")


def test_many_equal_documents_do_not_lower_the_recall(world: World, tiny: ModelVersion) -> None:
    world.put({f"copy{n:03}": "influenza fever headache" for n in range(120)})
    view = world.plan(tiny, shard_documents=50)
    world.embed(view)
    found = world.verify(view)
    assert found.passed, found.reasons


def test_an_index_that_finds_the_wrong_rows_fails_by_its_recall(
    world: World, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put({f"d{n:03}": f"fever number {n}" for n in range(40)})
    view = world.plan(tiny, shard_documents=50)
    world.embed(view)
    search = view.index.search

    def farthest(collection: str, vectors: Any, limit: int, **options: Any) -> Any:
        return search(collection, -vectors, limit, **options)

    monkeypatch.setattr(view.index, "search", farthest)
    found = world.verify(view)
    assert found.recall == 0.0
    assert any("recall@10 against brute force is 0.000" in reason for reason in found.reasons)


def test_two_versions_are_not_built_at_once(world: World, tiny: ModelVersion) -> None:
    world.plan(tiny)
    with pytest.raises(Conflict, match="in building"):
        world.plan(tiny)


def test_a_retired_version_is_left_alone_by_the_applier(world: World, tiny: ModelVersion) -> None:
    view = world.build(tiny)
    with world.database.write() as connection:
        reembed.retire(connection, view.version.index_version_id)
    world.put({"new": "fever"})
    assert apply_changes(view, lease_seconds=LEASE) is None
    assert "new" not in world.documents(view)


def test_the_serving_version_is_never_retired(
    world: World, tiny: ModelVersion, other_tiny: ModelVersion
) -> None:
    first = world.serve(tiny)
    with world.database.write() as connection:
        reembed.retire(connection, first.version.index_version_id)
    assert world.version(first.version.index_version_id).state is IndexState.SERVING
    second = world.serve(other_tiny)
    with world.database.write() as connection:
        reembed.retire(connection, first.version.index_version_id)
    corpus = world.corpus()
    assert (corpus.serving, corpus.previous) == (second.version.index_version_id, None)
    assert world.version(first.version.index_version_id).retired_at is not None


def test_corpora_whose_names_differ_by_a_dash_get_collections_and_aliases_of_their_own(
    world: World, tiny: ModelVersion
) -> None:
    names = [f"{world.name}-a", f"{world.name}_a"]
    collections = []
    for name in names:
        with world.database.write() as connection:
            corpora.add(connection, name, Policy(chunking=CHUNKING))
        put_documents(world.database, name, [NewDocument("d", "", "text")])
        with world.database.write() as connection:
            models.add(connection, tiny)
            version = reembed.plan(
                connection,
                corpus=name,
                model=tiny,
                chunking=CHUNKING,
                index=IndexSettings(),
                job_id="j",
                shard_chars=1000,
                shard_documents=10,
            )
        collections.append(version.collection)
    assert len({*collections, *map(alias_of, names)}) == 4


def test_the_catalog_follows_a_version_by_its_own_corpus_only(world: World, tiny: ModelVersion) -> None:
    view = world.build(tiny)
    with world.database.read() as connection:
        followers = index_versions.followers(connection, world.name)
        assert [v.index_version_id for v in followers] == [view.version.index_version_id]
        assert index_versions.followers(connection, "nobody") == []
