"""A corpus, people who vote on it, and the training sets that become of it."""

from __future__ import annotations

from collections.abc import Sequence

from embedloop import feedback
from embedloop.catalog import corpora, models
from embedloop.catalog import feedback as catalog
from embedloop.catalog.database import Database, now
from embedloop.corpus import put_documents
from embedloop.feedback import GivenFeedback
from embedloop.policy import Policy
from embedloop.records.documents import Corpus, NewDocument
from embedloop.records.feedback import Retrieval, Shown, Signal
from embedloop.records.training import TrainingPair, TrainingSet
from embedloop.records.versions import ModelVersion
from workers.labels import chosen_pairs, judge, keep_lineage, read_labels

SECRET = "s3cret"
DOCUMENTS = [NewDocument(f"d{n}", "", f"text of document number {n}") for n in range(6)]


def corpus_with(database: Database, **policy: object) -> Corpus:
    made = Policy.model_validate({"splits": {"golden": 0, "dev": 0}, **policy})
    with database.write() as connection:
        corpora.add(connection, "c", made)
    put_documents(database, "c", DOCUMENTS)
    with database.read() as connection:
        return corpora.get(connection, "c")


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
