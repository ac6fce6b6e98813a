"""The schema goes up, agrees with the tables, and goes down again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, select, update

from embedloop.catalog import corpora, documents, feedback, jobs, splits
from embedloop.catalog.database import Database
from embedloop.catalog.label_tables import judgments as judgments_table
from embedloop.catalog.migrate import check, downgrade, upgrade
from embedloop.catalog.schema import metadata
from embedloop.catalog.tables import jobs as jobs_table
from embedloop.errors import Unavailable
from embedloop.jobs import submit
from embedloop.orders import Order, give
from embedloop.policy import Policy
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.labels import Judgment, Split
from embedloop.text.normalise import query_key
from tests.patience import PATIENCE_SECONDS


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_upgrade_makes_every_table_and_agrees_with_them(database: Database, database_url: str) -> None:
    assert tables(database.engine) == set(metadata.tables)
    check(database_url)


def test_upgrading_twice_keeps_what_is_there(database: Database, database_url: str) -> None:
    with database.write() as connection:
        corpora.add(connection, "papers", Policy())
    upgrade(database_url)
    with database.read() as connection:
        assert [corpus.name for corpus in corpora.every(connection)] == ["papers"]


def test_downgrade_to_base_leaves_no_table_and_up_again_works(database: Database, database_url: str) -> None:
    downgrade(database_url, "base")
    assert tables(database.engine) == set()
    upgrade(database_url)
    with database.read() as connection:
        assert documents.head(connection, "papers") == 0


def test_processes_that_migrate_postgresql_at_once_take_turns(postgresql_url: str) -> None:
    downgrade(postgresql_url, "base")
    with ThreadPoolExecutor(3) as pool:
        for migrated in [pool.submit(upgrade, postgresql_url) for _ in range(3)]:
            migrated.result(timeout=PATIENCE_SECONDS)
    check(postgresql_url)


def test_a_catalog_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    missing = Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder' / 'catalog.db'}")
    with pytest.raises(Unavailable, match="catalog"):
        missing.ping()
    missing.dispose()


def test_a_block_that_raises_writes_nothing(database: Database) -> None:
    def add_and_fail() -> None:
        with database.write() as connection:
            corpora.add(connection, "papers", Policy())
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        add_and_fail()
    with database.read() as connection:
        assert corpora.every(connection) == []


def test_a_paused_job_goes_on_under_a_schema_that_knows_no_pause(database: Database, database_url: str) -> None:
    with database.write() as connection:
        corpora.add(connection, "papers", Policy())
        job, _ = submit(connection, JobKind.REINDEX, "papers", {})
        give(connection, job.job_id, Order.PAUSE)
    downgrade(database_url, "0001")
    with database.read() as connection:
        assert jobs.get(connection, job.job_id).state is JobState.QUEUED
    upgrade(database_url)
    check(database_url)
    with database.write() as connection:
        give(connection, job.job_id, Order.PAUSE)


def test_splits_that_a_catalog_had_before_bind_what_is_asked_about_the_same_documents(
    database: Database, database_url: str
) -> None:
    with database.write() as connection:
        corpora.add(connection, "papers", Policy())
        for query, split in (("nose", Split.TRAIN), ("Epistaxis?", Split.GOLDEN), ("eye", Split.DEV)):
            feedback.fix_splits(connection, "papers", {query_key(query): (query, split)})
        sources = {"nose": ("d0", "feedback"), "Epistaxis?": ("d0", "feedback"), "eye": ("d1", "import")}
        judged = [
            Judgment(query, document_id, 1, Split.TRAIN, source, ("f-1",))
            for query, (document_id, source) in sources.items()
        ]
        judged.append(Judgment("nose", "d2", 1, Split.TRAIN, "clicks", ("f-2",)))
        feedback.store_judgments(connection, "papers", judged)
    downgrade(database_url, "0007")
    with database.read() as connection:
        kept = connection.execute(select(judgments_table.c.source).order_by(judgments_table.c.source))
        assert list(kept.scalars()) == ["feedback", "feedback", "import"]
    upgrade(database_url)
    check(database_url)
    with database.read() as connection:
        groups = splits.groups(connection, "papers", [("document", f"d{n}") for n in range(3)])
    assert groups == {("document", "d0"): Split.GOLDEN}


def test_a_job_that_waits_for_approval_does_not_promote_under_a_schema_that_knows_no_approval(
    database: Database, database_url: str
) -> None:
    with database.write() as connection:
        corpora.add(connection, "papers", Policy())
        job, _ = submit(connection, JobKind.REINDEX, "papers", {})
        submit(connection, JobKind.HEADROOM, "papers", {})
        waits = {"state": "awaiting_approval", "stage": "promote"}
        connection.execute(update(jobs_table).where(jobs_table.c.job_id == job.job_id).values(**waits))
    downgrade(database_url, "0004")
    with database.read() as connection:
        assert jobs.get(connection, job.job_id).state is JobState.PAUSED
        assert [one.job_id for one in jobs.find(connection)] == [job.job_id]
    upgrade(database_url)
    check(database_url)
    with database.write() as connection:
        assert give(connection, job.job_id, Order.RESUME)[0].state is JobState.QUEUED


def test_a_trial_runs_beside_a_re_embed_and_is_gone_under_a_schema_that_does_not_know_it(
    database: Database, database_url: str
) -> None:
    with database.write() as connection:
        corpora.add(connection, "papers", Policy())
        submit(connection, JobKind.INDEX_TRIAL, "papers", {})
        job, _ = submit(connection, JobKind.REINDEX, "papers", {})
        submit(connection, JobKind.INDEX_TRIAL, "papers", {})
    downgrade(database_url, "0008")
    with database.read() as connection:
        assert [one.job_id for one in jobs.find(connection)] == [job.job_id]
    upgrade(database_url)
    check(database_url)
