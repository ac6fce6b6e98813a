"""Feedback: signatures, what a signal may name, pending, splits, judgments."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from embedloop import feedback
from embedloop.catalog import corpora, splits
from embedloop.catalog import feedback as catalog
from embedloop.catalog.database import Database, now
from embedloop.corpus import put_documents
from embedloop.errors import Conflict, InvalidInput, NotFound
from embedloop.feedback import GivenFeedback, ImportedJudgment
from embedloop.policy import Policy
from embedloop.records.documents import Corpus, NewDocument
from embedloop.records.feedback import Retrieval, Shown, Signal
from embedloop.records.labels import Split
from embedloop.text.normalise import query_key

SECRET = "s3cret"


@dataclass(frozen=True)
class Label:
    query: str
    document_id: str
    grade: int
    sources: tuple[str, ...]
    by_clicks: bool = False


@pytest.fixture
def corpus(database: Database) -> Corpus:
    with database.write() as connection:
        corpora.add(connection, "c", Policy())
    put_documents(database, "c", [NewDocument(f"d{i}", "", f"text {i}") for i in range(4)])
    with database.read() as connection:
        return corpora.get(connection, "c")


def log(database: Database, query: str = "nose", *, retrieval_id: str | None = None) -> str:
    identity = retrieval_id or feedback.mint_retrieval_id(SECRET, "c")
    shown = [Shown(1, "d0", "p0", 0.9), Shown(2, "d1", "p1", 0.8)]
    with database.write() as connection:
        catalog.log_retrievals(connection, [Retrieval(identity, "c", query, "k/ann", "iv", "m", shown, now())])
    return identity


def give(database: Database, retrieval_id: str, signal: Signal, **named: str) -> catalog.Feedback:
    given = GivenFeedback(retrieval_id, signal, **named)
    return feedback.give_feedback(database, SECRET, given, person="k/", visible=None)


def test_minted_ids_are_accepted_sort_by_time_and_are_short() -> None:
    ids = [feedback.mint_retrieval_id(SECRET, "c") for _ in range(20)]
    for identity in ids:
        feedback.check_retrieval_id(SECRET, identity)
    assert len(set(ids)) == 20
    assert max(map(len, ids)) <= 64
    assert [i[:12] for i in ids] == sorted(i[:12] for i in ids)


@pytest.mark.parametrize("forged", ["", "x", "a.b", "é.é", "." * 64])
def test_forged_id_is_refused_by_name(forged: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        feedback.check_retrieval_id(SECRET, forged)
    assert refused.value.field == "retrieval_id"


def test_id_signed_with_another_secret_is_refused() -> None:
    with pytest.raises(InvalidInput):
        feedback.check_retrieval_id("other", feedback.mint_retrieval_id(SECRET, "c"))


def test_vote_is_stored_under_the_person_who_searched(database: Database, corpus: Corpus) -> None:
    stored = give(database, log(database), Signal.UP, passage_id="p1")
    assert (stored.document_id, stored.person, stored.pending) == ("d1", "k/ann", False)


@pytest.mark.parametrize(
    ("signal", "named", "field"),
    [
        (Signal.UP, {"document_id": "d3"}, "document_id"),
        (Signal.DOWN, {"passage_id": "p9"}, "passage_id"),
        (Signal.CLICK, {}, "document_id"),
        (Signal.UP, {"document_id": "d0", "passage_id": "p0"}, "passage_id"),
        (Signal.CORRECT, {"passage_id": "p0"}, "document_id"),
        (Signal.CORRECT, {"document_id": "gone"}, "document_id"),
        (Signal.NONE_RELEVANT, {"document_id": "d0"}, "document_id"),
    ],
)
def test_signal_about_the_wrong_thing_is_refused_by_name(
    database: Database, corpus: Corpus, signal: Signal, named: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        give(database, log(database), signal, **named)
    assert refused.value.field == field


def test_correct_may_name_a_document_that_was_not_shown(database: Database, corpus: Corpus) -> None:
    assert give(database, log(database), Signal.CORRECT, document_id="d3").document_id == "d3"


def test_feedback_on_a_corpus_that_the_key_may_not_see_is_not_found(database: Database, corpus: Corpus) -> None:
    given = GivenFeedback(log(database), Signal.NONE_RELEVANT)
    with pytest.raises(NotFound):
        feedback.give_feedback(database, SECRET, given, person="k/", visible=["other"])


def test_pending_feedback_settles_when_its_retrieval_arrives(database: Database, corpus: Corpus) -> None:
    identity = feedback.mint_retrieval_id(SECRET, "c")
    given = give(database, identity, Signal.UP, passage_id="p0")
    assert given.pending
    assert feedback.settle_pending(database) == 0
    log(database, retrieval_id=identity)
    assert feedback.settle_pending(database) == 1
    with database.read() as connection:
        settled = catalog.get(connection, given.feedback_id)
    assert settled is not None
    assert (settled.pending, settled.document_id, settled.person) == (False, "d0", "k/ann")


def test_pending_feedback_on_what_was_not_shown_is_removed_with_a_reason(
    database: Database, corpus: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    identity = feedback.mint_retrieval_id(SECRET, "c")
    given = give(database, identity, Signal.UP, document_id="d3")
    log(database, retrieval_id=identity)
    with caplog.at_level(logging.WARNING):
        feedback.settle_pending(database)
    with database.read() as connection:
        assert catalog.get(connection, given.feedback_id) is None
    assert "was not shown" in caplog.text


def test_feedback_that_never_arrives_does_not_hide_what_has_arrived(database: Database, corpus: Corpus) -> None:
    for _ in range(501):
        give(database, feedback.mint_retrieval_id(SECRET, "c"), Signal.NONE_RELEVANT)
    identity = feedback.mint_retrieval_id(SECRET, "c")
    give(database, identity, Signal.UP, document_id="d0")
    log(database, retrieval_id=identity)
    assert feedback.settle_pending(database) == 1


def test_comment_is_redacted(database: Database, corpus: Corpus) -> None:
    given = give(database, log(database), Signal.NONE_RELEVANT, comment="ask ann@example.org")
    assert given.comment == "ask [EMAIL]"


def test_feedback_is_taken_back_once(database: Database, corpus: Corpus) -> None:
    given = give(database, log(database), Signal.NONE_RELEVANT)
    with pytest.raises(NotFound):
        feedback.take_back(database, given.feedback_id, visible=[])
    feedback.take_back(database, given.feedback_id, visible=None)
    with pytest.raises(NotFound):
        feedback.take_back(database, given.feedback_id, visible=None)


def test_import_that_contradicts_a_split_is_refused_and_the_rest_is_stored(
    database: Database, corpus: Corpus
) -> None:
    lines = [
        ImportedJudgment("Nose?", "d0", 1, Split.GOLDEN),
        ImportedJudgment("nose", "d1", 1, Split.TRAIN),
        ImportedJudgment("nose!", "d2", 1),
    ]
    outcomes = feedback.import_judgments(database, corpus, lines)
    refused = outcomes[1]
    assert isinstance(refused, Conflict)
    assert refused.field == "split"
    assert outcomes[::2] == [None, None]
    with database.read() as connection:
        stored = catalog.judgments_of(connection, "c", tuple(Split))
    assert {(j.document_id, j.split) for j in stored} == {("d0", Split.GOLDEN), ("d2", Split.GOLDEN)}


def test_query_without_split_is_assigned_by_its_first_relevant_document(
    database: Database, corpus: Corpus
) -> None:
    lines = [ImportedJudgment("nose", "d0", 0), ImportedJudgment("nose", "d2", 2)]
    assert feedback.import_judgments(database, corpus, lines) == [None, None]
    with database.read() as connection:
        fixed = catalog.splits_of(connection, "c", [query_key("nose")])
        groups = splits.groups(connection, "c", [("document", "d0"), ("document", "d2")])
    assert groups == {("document", "d2"): fixed[query_key("nose")]}


def test_judging_from_feedback_keeps_splits_and_forgets_votes_taken_back(
    database: Database, corpus: Corpus
) -> None:
    feedback.import_judgments(database, corpus, [ImportedJudgment("nose", "d0", 1, Split.GOLDEN)])
    source = (give(database, log(database), Signal.UP, document_id="d1").feedback_id,)
    nose, eye = Label("nose", "d1", 1, source), Label("eye", "d2", 1, source)
    feedback.judge_from_feedback(database, corpus, [nose, eye])
    feedback.judge_from_feedback(database, corpus, [nose])
    with database.read() as connection:
        stored = catalog.judgments_of(connection, "c", tuple(Split))
    assert {(j.document_id, j.source, j.split) for j in stored} == {
        ("d0", "import", Split.GOLDEN),
        ("d1", "feedback", Split.GOLDEN),
    }


def test_label_whose_feedback_went_while_it_was_made_is_not_stored(database: Database, corpus: Corpus) -> None:
    ids = [give(database, log(database), Signal.UP, document_id="d1").feedback_id for _ in range(2)]
    made = [Label("nose", "d1", 1, tuple(ids)), Label("eye", "d2", 1, (ids[1],))]
    feedback.take_back(database, ids[0], visible=None)
    feedback.judge_from_feedback(database, corpus, made)
    with database.read() as connection:
        stored = catalog.judgments_of(connection, "c", tuple(Split))
        assert catalog.splits_of(connection, "c", [query_key("nose")]) == {}
    assert [one.query for one in stored] == ["eye"]


def test_training_pairs_count_judged_and_voted_documents_once_and_no_golden_ones(
    database: Database, corpus: Corpus
) -> None:
    feedback.import_judgments(
        database,
        corpus,
        [
            ImportedJudgment("nose", "d0", 1, Split.TRAIN),
            ImportedJudgment("nose", "d1", 0, Split.TRAIN),
            ImportedJudgment("eye", "d1", 1, Split.GOLDEN),
        ],
    )
    for query in ("nose", "eye", "ear", "Ear?"):
        identity = log(database, query)
        give(database, identity, Signal.UP, document_id="d0")
        give(database, identity, Signal.CLICK, document_id="d1")
    assert feedback.count_training_pairs(database, "c") == 2
