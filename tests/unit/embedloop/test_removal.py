"""What is removed is in no later training set, and a process that dies on the way leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from sqlalchemy import func, select

from embedloop import feedback, pair_import, removal
from embedloop.catalog import feedback as catalog
from embedloop.catalog import label_tables, splits
from embedloop.catalog.database import Database, now
from embedloop.corpus import put_documents
from embedloop.errors import Conflict, TrainingFailed
from embedloop.feedback import ImportedJudgment
from embedloop.pair_import import ImportedPair
from embedloop.records.documents import Corpus, NewDocument
from embedloop.records.feedback import Signal
from embedloop.records.labels import Split
from embedloop.text.normalise import query_key
from tests.unit.labelling import DOCUMENTS, corpus_with, freeze, pairs_now, search, vote
from workers.labels import check_may_train, judge, read_labels

# Ends as `kill -9` does, in the second transaction of a step.
DIES = """
import os, signal, sys
from embedloop import removal
from embedloop.catalog import forgetting
from embedloop.catalog.database import Database

url, step = sys.argv[1:]
work, calls = getattr(forgetting, step), []

def killed(connection, ids):
    calls.append(work(connection, ids))
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return calls[-1]

setattr(forgetting, step, killed)
forgetting.ROWS_PER_STATEMENT = 1
removal.forget_person(Database(url), "ann")
"""


@pytest.fixture
def corpus(database: Database) -> Corpus:
    return corpus_with(database)


@pytest.mark.parametrize("key_id", [None, "k1"])
def test_forgotten_person_is_in_no_later_training_set(
    database: Database, corpus: Corpus, key_id: str | None
) -> None:
    vote(database, "nose", "d0", "ann")
    vote(database, "eye", "d1", "bob")
    freeze(database, corpus, "ts-1")
    done = removal.forget_person(database, "ann", key_id=key_id)
    assert dict(done.removed) == {"feedback": 1, "retrievals": 1, "judgments": 1, "queries": 1}
    assert [pair.anchor for pair in freeze(database, corpus, "ts-2")] == ["eye"]
    vote(database, "nose", "d0", "ann")
    assert [pair.anchor for pair in freeze(database, corpus, "ts-3")] == ["eye"]
    with database.read() as connection:
        seen = removal.seen_by(connection, done)
        texts = splits.queries_in(connection, "c", Split.TRAIN)
    assert (list(seen.training_sets), list(seen.model_versions)) == (["ts-1"], ["m-ts-1"])
    assert texts == ["eye"]


def test_models_that_saw_nothing_of_a_person_but_a_negative_are_named(
    database: Database, corpus: Corpus
) -> None:
    vote(database, "nose", "d0", "ann")
    vote(database, "nose", "d1", "bob", Signal.DOWN)
    freeze(database, corpus, "ts-1")
    done = removal.forget_person(database, "bob")
    with database.read() as connection:
        assert list(removal.seen_by(connection, done).model_versions) == ["m-ts-1"]
    (pair,) = freeze(database, corpus, "ts-2")
    assert pair.negatives == ()


def test_person_of_another_key_stays_when_one_key_is_named(database: Database, corpus: Corpus) -> None:
    vote(database, "nose", "d0", "ann")
    done = removal.forget_person(database, "ann", key_id="k2")
    assert sum(done.removed.values()) == 0
    assert len(pairs_now(database, corpus)) == 1


def test_query_of_a_forgotten_person_that_somebody_else_asks_too_trains_for_them(
    database: Database, corpus: Corpus
) -> None:
    vote(database, "Nose!", "d0", "ann")
    vote(database, "nose", "d0", "bob")
    judge(database, corpus, now())
    removal.forget_person(database, "ann")
    assert [pair.anchor for pair in pairs_now(database, corpus)] == ["nose"]


def test_split_of_a_forgotten_query_stays(database: Database) -> None:
    corpus = corpus_with(database, splits={"golden": 0, "dev": 0.5})
    vote(database, "nose", "d0", "ann")
    judge(database, corpus, now())
    with database.read() as connection:
        before = catalog.splits_of(connection, "c", [query_key("nose")])
    removal.forget_person(database, "ann")
    vote(database, "nose", "d1", "bob")
    judge(database, corpus, now())
    with database.read() as connection:
        assert catalog.splits_of(connection, "c", [query_key("nose")]) == before


def test_forgotten_document_trains_neither_as_positive_nor_as_negative(
    database: Database, corpus: Corpus
) -> None:
    vote(database, "nose", "d0", "ann")
    vote(database, "eye", "d1", "bob")
    vote(database, "eye", "d0", "bob", Signal.DOWN)
    freeze(database, corpus, "ts-1")
    done = removal.forget_document(database, "c", "d0")
    (pair,) = freeze(database, corpus, "ts-2")
    assert (pair.anchor, pair.negatives) == ("eye", ())
    with database.read() as connection:
        assert list(removal.seen_by(connection, done).model_versions) == ["m-ts-1"]


def test_forgotten_document_does_not_come_back_by_an_import(database: Database, corpus: Corpus) -> None:
    removal.forget_document(database, "c", "d0")
    (refused,) = feedback.import_judgments(database, corpus, [ImportedJudgment("nose", "d0", 1)])
    assert isinstance(refused, Conflict)
    assert refused.field == "document_id"
    pairs = [
        ImportedPair("nose", DOCUMENTS[0].text.upper(), (), None, "import:x:1"),
        ImportedPair("eye", "right", (DOCUMENTS[0].text,), None, "import:x:2"),
    ]
    refusals = pair_import.import_pairs(database, corpus, pairs)
    assert [refused.field for refused in refusals if refused] == ["positive", "negatives"]


def test_copy_of_a_forgotten_document_under_another_id_does_not_train(
    database: Database, corpus: Corpus
) -> None:
    removal.forget_document(database, "c", "d0")
    put_documents(database, "c", [NewDocument("copy", "", DOCUMENTS[0].text)])
    vote(database, "nose", "copy", "ann", shown=("copy",))
    judge(database, corpus, now())
    assert read_labels(database, corpus).judged == []


def test_set_that_was_frozen_before_a_removal_does_not_train(database: Database, corpus: Corpus) -> None:
    vote(database, "nose", "d0", "ann")
    pairs = freeze(database, corpus, "ts-1")
    check_may_train(database, corpus, "ts-1", pairs)
    removal.forget_person(database, "ann")
    with pytest.raises(TrainingFailed, match="removed since"):
        check_may_train(database, corpus, "ts-1", pairs)


def test_removing_again_is_the_same_removal_and_takes_what_came_since(
    database: Database, corpus: Corpus
) -> None:
    vote(database, "nose", "d0", "ann")
    first = removal.forget_person(database, "ann")
    vote(database, "nose", "d0", "ann")
    second = removal.forget_person(database, "ann")
    assert first.removal_id == second.removal_id
    assert second.removed["feedback"] == 2


@pytest.mark.parametrize("step", ["forget_feedback", "forget_retrievals"])
def test_removal_whose_process_is_killed_trains_nothing_and_is_completed(
    database: Database, database_url: str, corpus: Corpus, step: str
) -> None:
    for query in ("nose", "eye", "ear"):
        vote(database, query, "d0", "ann")
    vote(database, "toe", "d1", "bob")
    freeze(database, corpus, "ts-1")
    child = subprocess.run([sys.executable, "-c", DIES, database_url, step], timeout=120, check=False)
    assert child.returncode == -signal.SIGKILL
    assert [pair.anchor for pair in pairs_now(database, corpus)] == ["toe"]
    (settled,) = removal.settle(database, after_seconds=0)
    done = removal.find(database, settled)
    assert {name: done.removed[name] for name in ("feedback", "retrievals", "queries")} == {
        "feedback": 3,
        "retrievals": 3,
        "queries": 3,
    }
    with database.read() as connection:
        assert list(removal.seen_by(connection, done).model_versions) == ["m-ts-1"]
        for table in (label_tables.feedback, label_tables.retrievals):
            people = select(table.c.person, func.count()).group_by(table.c.person)
            assert connection.execute(people).all() == [("k1/bob", 1)]
        assert splits.queries_in(connection, "c", Split.TRAIN) == ["toe"]


def test_search_that_reaches_the_catalog_after_the_removal_is_taken_later(
    database: Database, corpus: Corpus
) -> None:
    done = removal.forget_person(database, "ann")
    late = search(database, "nose", "ann")
    assert removal.settle(database) == []
    assert removal.settle(database, after_seconds=0) == [done.removal_id]
    with database.read() as connection:
        assert catalog.retrieval(connection, late) is None
    assert removal.find(database, done.removal_id).settled_at is not None
    assert removal.settle(database, after_seconds=0) == []


def test_removal_that_is_asked_for_again_is_looked_after_again(database: Database, corpus: Corpus) -> None:
    done = removal.forget_document(database, "c", "d0")
    removal.settle(database, after_seconds=0)
    assert removal.forget_document(database, "c", "d0").settled_at is None
    assert removal.settle(database, after_seconds=0) == [done.removal_id]
