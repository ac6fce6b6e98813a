"""The retrieval log: nothing appended is lost, whatever the process or the catalog does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from embedloop.catalog import corpora, feedback
from embedloop.catalog.database import Database, now
from embedloop.catalog.label_tables import retrievals
from embedloop.errors import Conflict, Unavailable
from embedloop.feedback import (
    AcceptedFeedback,
    GivenFeedback,
    accept_feedback,
    give_feedback,
    mint_retrieval_id,
)
from embedloop.policy import Policy
from embedloop.records.documents import Corpus
from embedloop.records.feedback import Retrieval, Shown, Signal
from service.spool import Spool


def retrieval(name: str, corpus: str = "c") -> Retrieval:
    return Retrieval(name, corpus, "nose", "k/s", "iv", "m", [Shown(1, "d0", "p0", 0.5)], now())


def logged(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(retrievals.c.retrieval_id)).scalars())


def test_flush_moves_lines_to_the_catalog_and_removes_the_segment(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", database)
    one = retrieval("r1")
    spool.append(one)
    spool.append(retrieval("r2"))
    assert logged(database) == set()
    spool.flush_now()
    assert logged(database) == {"r1", "r2"}
    with database.read() as connection:
        assert feedback.retrieval(connection, "r1") == one
    assert not list((tmp_path / "spool").glob("*.ndjson*"))
    spool.append(retrieval("r3"))
    spool.close()
    assert logged(database) == {"r1", "r2", "r3"}


def test_lines_of_a_killed_process_are_replayed_and_a_half_line_is_skipped(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    killed = Spool(folder, database)
    killed.append(retrieval("r1"))
    killed.append(retrieval("r2"))
    (segment,) = folder.glob("*.open")
    segment.write_bytes(segment.read_bytes() + b'{"retrieval_id":"r3","cor')
    killed._lock_file.close()  # the kernel gives a killed process' lock back
    spool = Spool(folder, database)
    spool.flush_now()
    assert logged(database) == {"r1", "r2"}
    assert not list(folder.glob("*.ndjson*"))
    spool.close()


def test_replaying_twice_stores_once(database: Database, corpus: Corpus, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", database)
    for _ in range(2):
        spool.append(retrieval("r1"))
        spool.flush_now()
    assert logged(database) == {"r1"}
    spool.close()


def test_segment_waits_while_the_catalog_is_away(database: Database, corpus: Corpus, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", database)
    spool.append(retrieval("r1"))
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE retrievals RENAME TO away")
    with pytest.raises(Unavailable):
        spool.flush_now()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO retrievals")
    spool.flush_now()
    assert logged(database) == {"r1"}
    spool.close()


def test_retrievals_of_a_deleted_corpus_do_not_hold_up_the_others(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    with database.write() as connection:
        corpora.add(connection, "short-lived", Policy())
        corpora.remove(connection, "short-lived")
    spool = Spool(tmp_path / "spool", database)
    spool.append(retrieval("r1", "short-lived"))
    spool.append(retrieval("r2"))
    spool.flush_now()
    assert logged(database) == {"r2"}
    spool.close()


def test_second_process_on_the_same_folder_is_refused(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    first = Spool(tmp_path / "spool", database)
    with pytest.raises(Conflict):
        Spool(tmp_path / "spool", database)
    first.close()
    Spool(tmp_path / "spool", database).close()


def test_flush_settles_feedback_that_was_quicker_than_its_retrieval(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    identity = mint_retrieval_id("s", "c")
    spool = Spool(tmp_path / "spool", database)
    spool.append(retrieval(identity))
    given = GivenFeedback(identity, Signal.UP, document_id="d0")
    stored = give_feedback(database, "s", given, person="k/", visible=None)
    assert stored.pending
    spool.flush_now()
    with database.read() as connection:
        settled = feedback.get(connection, stored.feedback_id)
    assert settled is not None
    assert not settled.pending
    spool.close()


def test_thread_flushes_by_itself(database: Database, corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    former = Spool(folder, database)
    former.append(retrieval("r1"))
    former._lock_file.close()
    spool = Spool(folder, database)
    spool.start()
    spool.close()
    assert logged(database) == {"r1"}


def test_lines_of_a_replica_that_is_gone_are_adopted_by_another(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    gone = Spool(tmp_path / "gone", database)
    gone.append(retrieval("r1"))
    gone._lock_file.close()  # its container was replaced: nobody comes back to this folder
    other = Spool(tmp_path / "other", database)
    assert other.adopt() == 1
    assert logged(database) == {"r1"}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["other"]
    other.close()


def test_folder_of_a_replica_that_lives_is_left_alone(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    living = Spool(tmp_path / "living", database)
    living.append(retrieval("r1"))
    other = Spool(tmp_path / "other", database)
    assert other.adopt() == 0
    assert logged(database) == set()
    living.close()
    assert logged(database) == {"r1"}
    other.close()


def test_replica_that_comes_back_finds_its_folder_again(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    gone = Spool(tmp_path / "gone", database)
    gone._lock_file.close()
    other = Spool(tmp_path / "other", database)
    other.adopt()
    back = Spool(tmp_path / "gone", database)
    back.append(retrieval("r1"))
    assert other.adopt() == 0
    back.close()
    assert logged(database) == {"r1"}
    other.close()


def up(corpus: Corpus, **fields: Any) -> AcceptedFeedback:
    given = GivenFeedback(mint_retrieval_id("s", corpus.name), Signal.UP, "d0", **fields)
    return accept_feedback("s", given, person="k/", visible=None)


def test_feedback_given_while_the_catalog_was_away_is_stored_once_and_settled(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", database)
    accepted = up(corpus, comment="ask ann@example.org")
    for _ in range(2):
        spool.append(accepted)
        spool.flush_now()
    with database.read() as connection:
        stored = feedback.get(connection, accepted.feedback_id)
    assert stored is not None
    assert (stored.pending, stored.at, stored.person) == (True, accepted.at, "k/")
    assert "ann@" not in str(stored.comment)
    spool.append(replace(retrieval(accepted.given.retrieval_id, corpus.name), person="k/ann"))
    spool.close()
    with database.read() as connection:
        stored = feedback.get(connection, accepted.feedback_id)
    assert stored is not None
    assert (stored.pending, stored.person) == (False, "k/ann")


def test_spooled_feedback_that_the_catalog_refuses_does_not_hold_up_the_rest(
    database: Database, corpus: Corpus, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", database)
    unseen = replace(up(corpus), visible=("another",))
    kept = up(corpus)
    for entry in (unseen, kept, retrieval("r1")):
        spool.append(entry)
    spool.close()
    assert logged(database) == {"r1"}
    with database.read() as connection:
        assert feedback.get(connection, unseen.feedback_id) is None
        assert feedback.get(connection, kept.feedback_id) is not None
