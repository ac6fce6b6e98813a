"""From votes and imports in the catalog to pairs that may train."""

from __future__ import annotations

from datetime import timedelta

import pytest

from embedloop import feedback, pair_import, removal
from embedloop.catalog import feedback as catalog
from embedloop.catalog import lineage
from embedloop.catalog.database import Database, now
from embedloop.catalog.lineage import PairFilter
from embedloop.corpus import put_documents
from embedloop.errors import Conflict, TrainingFailed
from embedloop.feedback import ImportedJudgment
from embedloop.pair_import import ImportedPair
from embedloop.policy import Splits, Votes
from embedloop.records.documents import Corpus, NewDocument
from embedloop.records.feedback import Signal
from embedloop.records.labels import JudgmentSource, Split
from tests.unit.labelling import DOCUMENTS, corpus_with, freeze, pairs_now, search, vote
from workers.labels import check_may_train, document_kinds, judge, read_labels


@pytest.fixture
def corpus(database: Database) -> Corpus:
    return corpus_with(database)


def test_thumb_becomes_a_pair_with_its_lineage(database: Database, corpus: Corpus) -> None:
    up = vote(database, "nose", "d0", "ann")
    down = vote(database, "nose", "d1", "ann", Signal.DOWN)
    (pair,) = freeze(database, corpus, "ts-1")
    assert (pair.positive, pair.negatives) == (DOCUMENTS[0].text, (DOCUMENTS[1].text,))
    with database.read() as connection:
        (traced,) = lineage.trace(connection, "c", PairFilter(source=up), 10)
        assert lineage.trace(connection, "c", PairFilter(source=down), 10) == [traced]
        by_negative = lineage.trace(connection, "c", PairFilter(document_id="d1"), 10)
    assert sorted(traced.sources["feedback"]) == sorted([up, down])
    assert (traced.sources["document"], traced.sources["negative"]) == (["d0"], ["d1"])
    assert (traced.query, traced.model_versions, by_negative) == ("nose", ["m-ts-1"], [traced])


def test_trace_goes_on_where_the_page_before_ended(database: Database, corpus: Corpus) -> None:
    for number in range(5):
        vote(database, f"query {number}", "d0", "ann")
    for name in ("ts-1", "ts-2"):
        freeze(database, corpus, name)
    found, after = [], None
    with database.read() as connection:
        while page := lineage.trace(connection, "c", PairFilter(after=after), 3):
            found += page
            after = page[-1].cursor
    assert len({one.cursor for one in found}) == len(found) == 10


def test_unclicked_passage_is_never_a_negative(database: Database, corpus: Corpus) -> None:
    vote(database, "nose", "d0", "ann", Signal.CLICK)
    for person in ("bob", "cyd", "dan", "eve"):
        vote(database, "nose", "d0", person, Signal.CLICK)
    (pair,) = pairs_now(database, corpus)
    assert pair.negatives == ()


def test_clicks_train_and_are_no_golden_label(database: Database) -> None:
    corpus = corpus_with(database, splits={"golden": 0.5, "dev": 0})
    seen = [ImportedJudgment("nose", "d0", 1, Split.GOLDEN), ImportedJudgment("eye", "d0", 1, Split.TRAIN)]
    feedback.import_judgments(database, corpus, seen)
    for person in ("ann", "bob", "cyd", "dan"):
        vote(database, "nose", "d1", person, Signal.CLICK)
        vote(database, "eye", "d1", person, Signal.CLICK)
    judge(database, corpus, now())
    with database.read() as connection:
        golden = catalog.judgments_of(connection, "c", (Split.GOLDEN,))
        trained = catalog.judgments_of(connection, "c", (Split.TRAIN,))
    assert [one.document_id for one in golden] == ["d0"]
    assert ("d1", JudgmentSource.CLICKS) in [(one.document_id, one.source) for one in trained]


def test_bias_is_learnt_from_the_log_and_lets_two_clicks_far_down_count(database: Database) -> None:
    corpus = corpus_with(database, votes=Votes().model_dump())
    others = ["d1", "d2", "d3", "d4"]
    for person in range(80):
        vote(database, "nose", "d0", f"p{person}", Signal.CLICK, ("d0", *others))
    for person in range(25):
        vote(database, "nose", "d0", f"q{person}", Signal.CLICK, (*others, "d0"))
        for again in range(3):
            search(database, "nose", f"silent {person} {again}", (*others, "d0"))
    for person in ("ann", "bob"):
        vote(database, "eye", "d5", person, Signal.CLICK, (*others, "d5"))
    bias = judge(database, corpus, now()).report["position_bias"]
    assert bias["learnt_from"] == 105
    assert bias["exponent"] > 0.5
    with database.read() as connection:
        judged = catalog.judgments_of(connection, "c", (Split.TRAIN,))
    assert "d5" in {one.document_id for one in judged}


def test_import_that_contradicts_thumbs_wins(database: Database, corpus: Corpus) -> None:
    vote(database, "nose", "d0", "ann")
    feedback.import_judgments(database, corpus, [ImportedJudgment("nose", "d0", 0)])
    assert pairs_now(database, corpus) == []
    assert read_labels(database, corpus).conflicts == 1


def test_pair_that_is_like_a_golden_query_does_not_train(database: Database, corpus: Corpus) -> None:
    golden = "who may end the lease of the house in the first year"
    lines = [
        ImportedJudgment(golden, "d0", 1, Split.GOLDEN),
        ImportedJudgment(f"{golden} please", "d1", 1, Split.TRAIN),
        ImportedJudgment("nose", "d2", 1, Split.TRAIN),
    ]
    assert feedback.import_judgments(database, corpus, lines) == [None, None, None]
    assert [pair.anchor for pair in pairs_now(database, corpus)] == ["nose"]


def test_set_with_a_query_that_became_golden_after_it_was_frozen_does_not_train(
    database: Database, corpus: Corpus
) -> None:
    lease = "who may end the lease of the house in the first year"
    feedback.import_judgments(database, corpus, [ImportedJudgment(lease, "d0", 1, Split.TRAIN)])
    pairs = freeze(database, corpus, "ts-1")
    check_may_train(database, corpus, "ts-1", pairs)
    golden = ImportedJudgment(f"{lease} please", "d1", 1, Split.GOLDEN)
    feedback.import_judgments(database, corpus, [golden])
    with pytest.raises(TrainingFailed, match="like golden query"):
        check_may_train(database, corpus, "ts-1", pairs)


def test_imported_pair_trains_with_the_line_that_it_came_from(database: Database, corpus: Corpus) -> None:
    pair = ImportedPair("reset it", "Hold the button. Call 212-555-0187.", ["It is red."], None, "import:faq:7")
    assert pair_import.import_pairs(database, corpus, [pair]) == [None]
    (made,) = freeze(database, corpus, "ts-1")
    assert made.positive == "Hold the button. Call [PHONE]."
    assert made.negatives == ("It is red.",)
    with database.read() as connection:
        (traced,) = lineage.trace(connection, "c", PairFilter(source="import:faq:7"), 10)
    assert traced.pair_id
    assert feedback.count_training_pairs(database, "c") == 1


def test_pair_of_a_golden_query_is_refused(database: Database, corpus: Corpus) -> None:
    feedback.import_judgments(database, corpus, [ImportedJudgment("reset it", "d0", 1, Split.GOLDEN)])
    pair = ImportedPair("Reset it?", "Hold the button.", (), None, "import:faq:1")
    (refused,) = pair_import.import_pairs(database, corpus, [pair])
    assert isinstance(refused, Conflict)
    assert refused.field == "anchor"


def test_report_tells_what_became_of_the_votes(database: Database, corpus: Corpus) -> None:
    vote(database, "nose", "d0", "ann")
    vote(database, "nose", "d0", "ann")
    removal.forget_person(database, "bob")
    vote(database, "nose", "d0", "bob")
    votes = judge(database, corpus, now() + timedelta(seconds=1)).report["votes"]
    assert (votes["votes"], votes["counted"], votes["repeated"], votes["removed"]) == (2, 1, 1, 1)


def test_documents_are_told_apart_by_topic_and_length(database: Database) -> None:
    corpus = corpus_with(database, splits=Splits(topic="area").model_dump())
    put_documents(database, "c", [NewDocument("long", "", "word " * 1000, {"area": "law"})])
    kinds = document_kinds(database, corpus)
    assert (kinds["long"].topic, kinds["long"].length) == ("law", "long")
    assert (kinds["d0"].topic, kinds["d0"].length) == ("unknown", "short")
