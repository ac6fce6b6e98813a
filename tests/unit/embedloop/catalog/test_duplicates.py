"""Near duplicates in a catalog: which are found, and which never count."""

from __future__ import annotations

import pytest

from embedloop.catalog import duplicates
from embedloop.catalog.database import Database
from embedloop.corpus import delete_document, put_documents
from embedloop.duplicates import DuplicateFinder
from embedloop.records.documents import NewDocument
from tests.unit.embedloop.catalog.conftest import CORPUS

TEXT = " ".join(f"word{number}" for number in range(120))
COPY = f"{TEXT} copied"


def document(identity: str, text: str = TEXT) -> NewDocument:
    return NewDocument(identity, "", text)


@pytest.fixture
def finder(catalog: Database) -> DuplicateFinder:
    return DuplicateFinder(catalog, CORPUS, 0.9)


def store(catalog: Database, *documents: NewDocument) -> None:
    finder = DuplicateFinder(catalog, CORPUS, 0.9)
    finder.find(documents, [], refuse=False)
    put_documents(catalog, CORPUS, documents, finder.keys([d.document_id for d in documents]))


def found(finder: DuplicateFinder, *documents: NewDocument) -> list[str | None]:
    compared = finder.find(documents, [], refuse=False)
    return [None if one.duplicate is None else one.duplicate.document_id for one in compared]


def test_copy_of_a_stored_document_is_found_with_its_similarity(
    catalog: Database, finder: DuplicateFinder
) -> None:
    store(catalog, document("a"))
    [compared] = finder.find([document("b", COPY)], [], refuse=True)
    assert compared.refused
    assert compared.duplicate is not None
    assert compared.duplicate.document_id == "a"
    assert 0.9 < compared.duplicate.similarity < 1


def test_copy_within_one_batch_is_found(finder: DuplicateFinder) -> None:
    assert found(finder, document("a"), document("b", COPY), document("c", "another text")) == [None, "a", None]


def test_document_is_no_duplicate_of_its_own_earlier_content(
    catalog: Database, finder: DuplicateFinder
) -> None:
    store(catalog, document("a"))
    assert found(finder, document("a", COPY)) == [None]


def test_update_of_a_live_document_is_told_and_never_refused(
    catalog: Database, finder: DuplicateFinder
) -> None:
    store(catalog, document("a"), document("b", "another text altogether, for now"))
    [compared] = finder.find([document("b", COPY)], ["b"], refuse=True)
    assert compared.duplicate is not None
    assert not compared.refused


def test_later_lines_are_compared_with_what_is_stored_only(finder: DuplicateFinder) -> None:
    chain = [document("a"), document("b", COPY), document("c", f"{COPY} again")]
    compared = finder.find(chain, [], refuse=True)
    assert [one.duplicate and one.duplicate.document_id for one in compared] == [None, "a", "a"]


def test_deleted_document_is_no_original(catalog: Database, finder: DuplicateFinder) -> None:
    store(catalog, document("a"))
    delete_document(catalog, CORPUS, "a")
    assert found(finder, document("b")) == [None]
    with catalog.read() as connection:
        keys = {f"{band:02x}" for band in range(16)}
        assert duplicates.sharing(connection, CORPUS, keys) == {}


def test_document_that_has_changed_is_compared_as_it_is_now(catalog: Database, finder: DuplicateFinder) -> None:
    store(catalog, document("a"))
    store(catalog, document("a", "now it says something else altogether"))
    assert found(finder, document("b")) == [None]


def test_other_corpora_do_not_count(catalog: Database) -> None:
    store(catalog, document("a"))
    assert found(DuplicateFinder(catalog, "other", 0.9), document("b")) == [None]


def test_less_alike_than_asked_for_is_no_duplicate(catalog: Database) -> None:
    store(catalog, document("a"))
    assert found(DuplicateFinder(catalog, CORPUS, 1.0), document("b", COPY)) == [None]


def test_of_several_the_nearest_is_named(catalog: Database, finder: DuplicateFinder) -> None:
    store(catalog, document("a", f"{TEXT} one two three"), document("b"))
    assert found(finder, document("c", COPY)) == ["b"]


def test_what_was_forgotten_is_not_compared_with(finder: DuplicateFinder) -> None:
    found(finder, document("a"))
    finder.forget()
    assert found(finder, document("b")) == [None]
