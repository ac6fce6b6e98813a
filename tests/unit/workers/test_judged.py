from __future__ import annotations

from embedloop import feedback
from embedloop.catalog.database import Database, now
from embedloop.feedback import ImportedJudgment
from embedloop.records.feedback import Signal
from embedloop.records.labels import Split
from tests.unit.labelling import corpus_with, vote
from training.judgments import qrels_of
from workers.judged import labels_of
from workers.labels import judge


def test_import_wins_over_thumbs_in_what_is_measured_too(database: Database) -> None:
    corpus = corpus_with(database)
    lines = [ImportedJudgment("nose", "d0", 0, Split.GOLDEN), ImportedJudgment("nose", "d1", 2, Split.GOLDEN)]
    feedback.import_judgments(database, corpus, lines)
    vote(database, "nose", "d0", "ann", Signal.UP)
    judge(database, corpus, now())
    with database.read() as connection:
        _, qrels = qrels_of(labels_of(connection, "c", (Split.GOLDEN,)))
    assert list(qrels.values()) == [{"d0": 0, "d1": 2}]
