"""From votes and imports in the catalog to pairs that may train, and what a removal leaves of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from embedloop import feedback, pair_import, removal
from embedloop.catalog import corpora, lineage, models, splits
from embedloop.catalog import feedback as catalog
from embedloop.catalog.database import Database, now
from embedloop.catalog.lineage import PairFilter
from embedloop.corpus import put_documents
from embedloop.errors import Conflict
from embedloop.feedback import GivenFeedback, ImportedJudgment
from embedloop.pair_import import ImportedPair
from embedloop.policy import Policy, Splits, Votes
from embedloop.records import (
    Corpus,
    JudgmentSource,
    ModelVersion,
    NewDocument,
    Retrieval,
    Shown,
    Signal,
    Split,
    TrainingPair,
    TrainingSet,
)
from embedloop.text.normalise import query_key
from workers.labels import chosen_pairs, document_kinds, judge, keep_lineage, read_labels

SECRET = "s3cret"
DOCUMENTS = [NewDocument(f"d{n}", "", f"text of document number {n}") for n in range(6)]


def corpus_with(database: Database, **policy: object) -> Corpus:
    made = Policy.model_validate({"splits": {"golden": 0, "dev": 0}, **policy})
    with database.write() as connection:
        corpora.add(connection, "c", made)
    put_documents(database, "c", DOCUMENTS)
    with database.read() as connection:
        return corpora.get(connection, "c")


@pytest.fixture
def corpus(database: Database) -> Corpus:
    return corpus_with(database)


def search(database: Database, query: str, session: str, shown: Sequence[str] = ("d0", "d1")) -> str:
    identity = feedback.mint_retrieval_id(SECRET, "c")
    hits = [Shown(rank, one, f"p-{one}", 1 / rank) for rank, one in enumerate(shown, 1)]
    found = Retrieval(identity, "c", query, f"k1/{session}", "iv", "m", hits, now())
    with database.write() as connection:
        catalog.log_retrievals(connection, [found])
    return identity


def vote(
    database: Database,
    query: str,
    document_id: str,
    session: str,
    signal: Signal = Signal.UP,
    shown: Sequence[str] = ("d0", "d1"),
) -> str:
    given = GivenFeedback(search(database, query, session, shown), signal, document_id)
    return feedback.give_feedback(database, SECRET, given, person="k1/", visible=None).feedback_id


def pairs_now(database: Database, corpus: Corpus) -> list[TrainingPair]:
    """The pairs that a training set frozen now would have."""
    judge(database, corpus, now())
    labels = read_labels(database, corpus)
    texts = {one.document_id: one.text for one in DOCUMENTS}
    refused = {one.query: [one.document_id] for one in labels.judged if one.grade == 0}
    offered = labels.pairs(texts, refused, corpus.policy.splits.similarity)
    return chosen_pairs(offered, corpus.policy, labels)[0]


def freeze(database: Database, corpus: Corpus, name: str) -> list[TrainingPair]:
    """Freezes the pairs of now as set `name`, trains model `m-{name}` on it."""
    counted = judge(database, corpus, now())
    pairs = pairs_now(database, corpus)
    keep_lineage(database, name, pairs, counted.persons, lambda: None)
    frozen = TrainingSet(name, "c", name, {}, "", now(), counted.report)
    model = ModelVersion(f"m-{name}", "b", None, "c", name, 8, 8, "", "", "onnx", {}, {}, now())
    with database.write() as connection:
        models.add_training_set(connection, frozen)
        models.add(connection, model)
    return pairs


def test_thumb_becomes_a_pair_with_its_lineage(database: Database, corpus: Corpus) -> None:
    up = vote(database, "nose", "d0", "ann")
    down = vote(database, "nose", "d1", "ann", Signal.DOWN)
    (pair,) = freeze(database, corpus, "ts-1")
    assert (pair.positive, pair.negatives) == (DOCUMENTS[0].text, (DOCUMENTS[1].text,))
    with database.read() as connection:
        (traced,) = lineage.trace(connection, "c", PairFilter(source=up), 10)
        assert lineage.trace(connection, "c", PairFilter(source=down), 10) == []
        by_negative = lineage.trace(connection, "c", PairFilter(document_id="d1"), 10)
    assert traced.sources["feedback"] == [up]
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


def test_set_that_was_frozen_before_a_removal_is_known_to_hold_it(database: Database, corpus: Corpus) -> None:
    vote(database, "nose", "d0", "ann")
    freeze(database, corpus, "ts-1")
    with database.read() as connection:
        assert not lineage.holds_removed(connection, "ts-1", read_labels(database, corpus).removed)
    removal.forget_person(database, "ann")
    with database.read() as connection:
        assert lineage.holds_removed(connection, "ts-1", read_labels(database, corpus).removed)


def test_removing_again_is_the_same_removal_and_takes_what_came_since(
    database: Database, corpus: Corpus
) -> None:
    vote(database, "nose", "d0", "ann")
    first = removal.forget_person(database, "ann")
    vote(database, "nose", "d0", "ann")
    second = removal.forget_person(database, "ann")
    assert first.removal_id == second.removal_id
    assert second.removed["feedback"] == 2


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
