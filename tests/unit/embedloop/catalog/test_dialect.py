"""Upserts, the order of ids, and what may be stored, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError

from embedloop import feedback as feedback_rules
from embedloop import jobs as job_rules
from embedloop.catalog import documents, feedback, keys, promotions
from embedloop.catalog.database import Database, now
from embedloop.catalog.dialect import insert_or_ignore, insert_or_update, parse_url
from embedloop.catalog.label_tables import queries
from embedloop.catalog.schema import metadata
from embedloop.corpus import get_document, put_documents
from embedloop.errors import InvalidInput
from embedloop.feedback import GivenFeedback, mint_retrieval_id
from embedloop.records.documents import NewDocument
from embedloop.records.feedback import Retrieval, Shown, Signal
from embedloop.records.jobs import JobKind
from service.validation import checked_document, checked_document_id
from tests.unit.embedloop.catalog.conftest import CORPUS

ASTRAL = "\U0001f600"


def row(key: str, query: str, split: str = "train") -> dict[str, object]:
    return {"corpus": CORPUS, "query_key": key, "query": query, "split": split, "created_at": now()}


def stored(catalog: Database) -> dict[str, str]:
    with catalog.read() as connection:
        return {r.query_key: r.query for r in connection.execute(select(queries))}


@pytest.mark.parametrize(
    ("url", "drivername"),
    [
        ("postgres://me:pw@db:5433/catalog", "postgresql+psycopg"),
        ("postgresql://me:pw@db:5433/catalog", "postgresql+psycopg"),
        ("postgresql+psycopg://me:pw@db:5433/catalog", "postgresql+psycopg"),
        ("sqlite:////tmp/catalog.db", "sqlite"),
    ],
)
def test_an_address_gets_the_one_driver_of_its_database(url: str, drivername: str) -> None:
    parsed = parse_url(url)
    assert parsed.drivername == drivername
    if drivername != "sqlite":
        assert (parsed.username, parsed.password, parsed.host, parsed.port) == ("me", "pw", "db", 5433)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "catalog.db",
        "mysql://me:secret@db/x",
        "postgresql+asyncpg://me:secret@db/x",
        "postgresql://me:secret@db:x/y",
    ],
)
def test_another_address_is_refused_by_the_name_of_its_setting_and_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Database(url)
    assert refusal.value.field == "database_url"
    assert "secret" not in refusal.value.message


def test_rows_whose_key_is_taken_are_left_alone(catalog: Database) -> None:
    with catalog.write() as connection:
        insert_or_ignore(connection, queries, [row("a", "first")])
        insert_or_ignore(connection, queries, [row("b", "new"), row("a", "second"), row("b", "again")])
        insert_or_ignore(connection, queries, [])
    assert stored(catalog) == {"a": "first", "b": "new"}


def test_rows_whose_key_is_taken_are_replaced_by_the_last(catalog: Database) -> None:
    with catalog.write() as connection:
        insert_or_update(connection, queries, [row("a", "first")])
        insert_or_update(connection, queries, [row("b", "new"), row("a", "second"), row("b", "again")])
        insert_or_update(connection, queries, [])
    assert stored(catalog) == {"a": "second", "b": "again"}


def test_many_rows_are_stored_in_one_call(catalog: Database) -> None:
    with catalog.write() as connection:
        insert_or_ignore(connection, queries, [row(f"{n:05}", "q") for n in range(12_000)])
        insert_or_update(connection, queries, [row(f"{n:05}", "r") for n in range(6_000, 18_000)])
    found = stored(catalog)
    assert len(found) == 18_000
    assert (found["00000"], found["06000"], found["17999"]) == ("q", "r", "r")


def test_another_constraint_than_the_key_is_still_told(catalog: Database) -> None:
    orphan = row("a", "q") | {"corpus": "nobody"}
    for insert in (insert_or_ignore, insert_or_update):
        with pytest.raises(IntegrityError), catalog.write() as connection:
            insert(connection, queries, [orphan])


def test_ids_are_in_the_order_of_their_bytes(catalog: Database) -> None:
    ids = [*"BaZz~12äéßİ字\ufffd", ASTRAL, "a b", "A-1", "A1", "A_1", "10"]
    put_documents(catalog, CORPUS, [NewDocument(i, "", i) for i in ids])
    expected = sorted(ids, key=str.encode)
    with catalog.read() as connection:
        assert documents.live_ids(connection, CORPUS) == expected
        assert [i for i, _ in documents.lengths_after(connection, CORPUS, "", 100)] == expected
        for first, last in zip(expected, expected[3:], strict=False):
            between = documents.ids_in_range(connection, CORPUS, first, last)
            position = expected.index(first)
            assert between == expected[position : position + 4]
            after = documents.lengths_after(connection, CORPUS, first, 3)
            assert [i for i, _ in after] == expected[position + 1 : position + 4]


def test_every_document_id_on_postgresql_declares_the_order_of_bytes(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    inspector = inspect(database.engine)
    collations = {
        (table, column["name"]): column["type"].collation  # type: ignore[attr-defined]
        for table in metadata.tables
        for column in inspector.get_columns(table)
        if column["name"].endswith("document_id")
    }
    database.dispose()
    assert len(collations) == 10
    assert set(collations.values()) == {"C"}


def test_lengths_count_characters(catalog: Database) -> None:
    put_documents(catalog, CORPUS, [NewDocument("a", "ä" + ASTRAL, "字" * 5)])
    with catalog.read() as connection:
        assert documents.lengths_after(connection, CORPUS, "", 1) == [("a", 7)]


@pytest.mark.parametrize(
    ("title", "text", "values"),
    [
        ("t" * 2000, "x", {"max": 2**63 - 1, "min": -(2**63), "tiny": 5e-324, "huge": 1.7976931348623157e308}),
        (ASTRAL * 2000, "\ufeff\uffff\u202e\u2028 \x01\x1f\x7f", {"s": "\x01\ufffe" + ASTRAL * 1000}),
        ("'; DROP TABLE documents; --", "%s %(x)s :x ? \\0 \\u0000 {}", {"s": "\\u0000", "l": ["%s", ""]}),
        ("", "é" + "e\u0301", {"b": True, "e": [], "f": -0.0, "i": 0}),
    ],
)
def test_what_the_edge_lets_through_comes_back_as_it_was(
    catalog: Database, title: str, text: str, values: dict[str, object]
) -> None:
    document_id = checked_document_id(ASTRAL * 255 + "é")
    put_documents(catalog, CORPUS, [checked_document(document_id, title, text, values, max_chars=1_000_000)])
    found = get_document(catalog, CORPUS, document_id)
    assert (found.title, found.text, found.metadata) == (title, text, values)


def test_the_longest_names_that_the_edge_lets_through_are_stored(catalog: Database) -> None:
    person = "k-" + "0" * 38 + "/" + ASTRAL * 128
    retrieval_id = mint_retrieval_id("secret", CORPUS)
    shown = [Shown(1, ASTRAL * 256, "p" * 32, 0.5)]
    logged = Retrieval(retrieval_id, CORPUS, ASTRAL * 4000, person, "iv-1", "m-1", shown, now())
    with catalog.write() as connection:
        feedback.log_retrievals(connection, [logged])
        keys.add(connection, key_id="k-1", key_hash="0" * 64, label=ASTRAL * 128, role="admin", corpora=None)
        job, _ = job_rules.submit(connection, JobKind.EVALUATE, CORPUS, {}, "k" * 41 + ":" + "~" * 160)
        promotions.hold(connection, "r" * 64, CORPUS, serving=None, prepared=None, lease_seconds=1)
    given = GivenFeedback(retrieval_id, Signal.UP, ASTRAL * 256, None, ASTRAL * 4000)
    told = feedback_rules.give_feedback(catalog, "secret", given, person=person, visible=None)
    with catalog.read() as connection:
        assert feedback.retrieval(connection, retrieval_id) == logged
        found = feedback.get(connection, told.feedback_id)
    assert found is not None
    assert (found.document_id, found.comment) == (ASTRAL * 256, ASTRAL * 4000)
    assert job.corpus == CORPUS
