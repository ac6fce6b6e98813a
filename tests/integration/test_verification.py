"""Verification compares what is stored, and tells in words what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from embedloop import verification
from embedloop.applier import View, following
from embedloop.index_rows import passage_id
from embedloop.records.documents import Passage
from embedloop.records.versions import IndexState, ModelVersion
from tests.integration.conftest import LEASE, TEXTS, World


@pytest.fixture
def embedded(world: World, tiny: ModelVersion) -> View:
    """A version with all of its rows, to be verified."""
    view = world.plan(tiny)
    world.embed(view)
    return view


def stored(world: World, view: View) -> dict[str, Passage]:
    """The passage of each document as Milvus holds it."""
    keys = [row.passage_id for page in world.index.scan(view.version.collection) for row in page]
    found = world.index.passages(view.version.collection, keys)
    return {passage.document_id: passage for passage in found.values()}


def put_back(world: World, view: View, passage: Passage) -> None:
    """Overwrites a row under its own key, with the vector of its right text."""
    vectors = world.index.vectors(view.version.collection, [passage.passage_id])
    world.index.upsert(view.version.collection, [passage], np.stack([vectors[passage.passage_id]]))


def test_a_good_version_tells_its_numbers(world: World, embedded: View) -> None:
    found = world.verify(embedded)
    assert found.passed, found.reasons
    assert found.checksum == found.expected_checksum != "0" * 32
    assert (found.texts_compared, found.texts_altered) == (len(TEXTS), 0)
    assert found.search_ms is not None
    assert found.search_p95_ms is not None
    assert 0 < found.search_ms <= found.search_p95_ms
    told = world.version(embedded.version.index_version_id).verification
    assert told is not None
    assert told["checksum"] == found.checksum
    assert told["search_p95_ms"] == found.search_p95_ms


@pytest.mark.parametrize(
    ("field", "alter"),
    [
        ("text", lambda p: replace(p, text=p.text + " ")),
        ("title", lambda p: replace(p, title="another")),
        ("metadata", lambda p: replace(p, metadata={"lang": "de"})),
        ("metadata", lambda p: replace(p, metadata={})),
        ("rev", lambda p: replace(p, rev=p.rev + 1)),
        ("document_id", lambda p: replace(p, document_id="somebody")),
        ("ordinal", lambda p: replace(p, ordinal=7)),
    ],
)
def test_a_row_that_holds_other_than_the_catalog_fails_the_version_by_name(
    world: World, embedded: View, field: str, alter: Callable[[Passage], Passage], monkeypatch: Any
) -> None:
    # The sweep would take away what is of another document or rev.
    monkeypatch.setattr("embedloop.reembed.sweep", lambda view: 0)
    passage = stored(world, embedded)["nose"]
    put_back(world, embedded, alter(passage))
    found = world.verify(embedded)
    assert found.texts_altered == 1
    assert found.reasons == [
        f"1 of {len(TEXTS)} sampled passages are not as in the catalog: "
        f"document 'nose' passage {passage.passage_id}: {field} differs"
    ]
    assert world.version(embedded.version.index_version_id).state is IndexState.RETIRED


def test_sampled_passages_are_read_many_at_a_time(
    world: World, embedded: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = world.index.passages

    def counted(collection: str, keys: Sequence[str]) -> dict[str, Passage]:
        reads.append(len(keys))
        return read(collection, keys)

    monkeypatch.setattr(world.index, "passages", counted)
    monkeypatch.setattr("embedloop.comparison.PASSAGES_PER_LOOK", len(TEXTS) - 1)
    assert world.verify(embedded).passed
    assert reads == [len(TEXTS) - 1, 1]


def test_a_document_written_meanwhile_is_not_held_against_the_version(world: World, embedded: View) -> None:
    with following(embedded, lease_seconds=LEASE) as held:
        assert held is not None
        held.catch_up()
        world.put({"nose": "changed after the cursor"})
        found = verification.verify(embedded, failures_allowed=())
    assert found.passed, found.reasons
    assert found.texts_compared == len(TEXTS) - 1


@pytest.mark.parametrize("look", range(1, 10))
def test_a_document_changed_between_any_two_looks_is_not_held_against_the_version(
    world: World, embedded: View, look: int
) -> None:
    looks = count(1)

    def change() -> None:
        if next(looks) == look:
            world.put({"nose": "changed while it is compared"})
            world.delete("tooth")

    with following(embedded, lease_seconds=LEASE) as held:
        assert held is not None
        held.catch_up()
        found = verification.verify(replace(embedded, check=change), failures_allowed=())
    assert next(looks) > look
    assert found.passed, found.reasons


def test_one_row_for_another_is_seen_though_the_count_is_right(world: World, embedded: View) -> None:
    passage = stored(world, embedded)["nose"]
    world.index.delete(embedded.version.collection, [passage.passage_id])
    other = replace(passage, passage_id=passage_id("nose", passage.rev, 9), ordinal=9)
    world.index.upsert(embedded.version.collection, [other], embedded.encoder.encode_passages([other.text]))
    found = world.verify(embedded)
    assert found.passages == found.expected
    assert found.checksum != found.expected_checksum
    assert "1 expected keys are absent, 1 are unexpected" in found.reasons
