"""A dry run foresees what the same upload would do, and stores nothing."""

from __future__ import annotations

import pytest

from embedloop.catalog import documents
from embedloop.catalog.database import Database
from embedloop.corpus import put_documents
from embedloop.dry_run import DryRun
from embedloop.errors import NotFound
from embedloop.records.documents import NewDocument
from tests.unit.embedloop.catalog.conftest import CORPUS


def test_changes_are_foreseen_in_their_turn_and_not_stored(catalog: Database) -> None:
    put_documents(catalog, CORPUS, [NewDocument("a", "", "one")])
    batch = [NewDocument("a", "", "one"), NewDocument("b", "", "one"), NewDocument("b", "", "one")]
    assert DryRun(catalog, CORPUS).put(batch) == [False, True, False]
    with catalog.read() as connection:
        assert documents.live_ids(connection, CORPUS) == ["a"]


def test_delete_is_foreseen_and_leaves_the_document(catalog: Database) -> None:
    put_documents(catalog, CORPUS, [NewDocument("a", "", "one")])
    run = DryRun(catalog, CORPUS)
    run.delete("a")
    assert run.live(["a"]) == set()
    assert run.put([NewDocument("a", "", "one")]) == [True]
    with catalog.read() as connection:
        assert documents.live_ids(connection, CORPUS) == ["a"]


def test_delete_of_what_is_not_there_is_refused(catalog: Database) -> None:
    run = DryRun(catalog, CORPUS)
    with pytest.raises(NotFound, match="'a'"):
        run.delete("a")
    run.put([NewDocument("a", "", "one")])
    run.delete("a")
    with pytest.raises(NotFound, match="'a'"):
        run.delete("a")
