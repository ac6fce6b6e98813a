"""Splits at first sight: shares within each stratum, one split for what belongs together, kept for ever."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from embedloop import splits
from embedloop.catalog import corpora
from embedloop.catalog.database import Database
from embedloop.catalog.splits import DOCUMENT
from embedloop.corpus import put_documents
from embedloop.policy import Policy, Splits
from embedloop.records.documents import Corpus, NewDocument
from embedloop.records.labels import Split
from embedloop.splits import Group, SeenQuery, assign_split

LONG = "who may end the lease of the house in the first year"


def made(database: Database, **shares: Any) -> Corpus:
    with database.write() as connection:
        corpora.add(connection, "c", Policy(splits=Splits(**shares)))
    return fetched(database)


def fetched(database: Database) -> Corpus:
    with database.read() as connection:
        return corpora.get(connection, "c")


def ask(database: Database, corpus: Corpus, *asked: SeenQuery) -> list[Split]:
    with database.write() as connection:
        fixed = splits.fix(connection, corpus, asked)
    return [fixed[one.key] for one in asked]


def about(query: str, document: str, wanted: Split | None = None) -> SeenQuery:
    return SeenQuery(query, Group(DOCUMENT, document), wanted)


@pytest.mark.parametrize("stratum", ["law", "medicine", "x"])
def test_even_a_small_stratum_gets_its_shares(stratum: str) -> None:
    shares = Splits(golden=0.2, dev=0.1)
    counted = Counter(assign_split("c", stratum, number, shares) for number in range(30))
    assert counted[Split.GOLDEN] == pytest.approx(6, abs=1)
    assert counted[Split.DEV] == pytest.approx(3, abs=1)


def test_each_topic_and_length_is_in_the_golden_set(database: Database) -> None:
    corpus = made(database, golden=0.2, dev=0.2, topic="area")
    documents = [
        NewDocument(f"{area}-{size}-{n}", "", "word " * words, {"area": area})
        for area in ("law", "eyes")
        for size, words in (("short", 5), ("long", 1000))
        for n in range(10)
    ]
    put_documents(database, "c", documents)
    for document in documents:
        ask(database, corpus, about(f"about {document.document_id}", document.document_id))
    strata = Counter()
    for document in documents:
        (split,) = ask(database, corpus, about(f"again {document.document_id}", document.document_id))
        strata[document.document_id.rsplit("-", 1)[0], split] += 1
    golden = [count for (_, split), count in strata.items() if split is Split.GOLDEN]
    assert len(golden) == 4
    assert all(count in (1, 2, 3) for count in golden)


def test_queries_about_one_document_share_a_split(database: Database) -> None:
    corpus = made(database, golden=0.3, dev=0.3)
    for number in range(20):
        one, two = (f"first words {number}", f"other {number}")
        first = ask(database, corpus, about(one, f"d{number}"))
        assert ask(database, corpus, about(two, f"d{number}")) == first


def test_near_duplicate_of_a_golden_query_is_golden_whatever_its_document(database: Database) -> None:
    corpus = made(database, golden=0, dev=0)
    ask(database, corpus, about(LONG, "d0", Split.GOLDEN))
    assert ask(database, corpus, about(f"{LONG} please", "d1")) == [Split.GOLDEN]
    assert ask(database, corpus, about("another question about the house", "d1")) == [Split.TRAIN]


def test_near_duplicates_that_come_together_share_a_split(database: Database) -> None:
    corpus = made(database, golden=0, dev=0)
    both = about(LONG, "d0", Split.DEV), about(f"{LONG} please", "d1")
    assert ask(database, corpus, *both) == [Split.DEV, Split.DEV]


def test_wanted_split_binds_its_query_alone(database: Database) -> None:
    corpus = made(database, golden=0, dev=0)
    ask(database, corpus, about("nose", "d0", Split.GOLDEN))
    assert ask(database, corpus, about("bleeding", "d0")) == [Split.TRAIN]


def test_split_stays_when_the_policy_changes_and_when_another_is_wanted(database: Database) -> None:
    corpus = made(database, golden=0, dev=0)
    assert ask(database, corpus, about("nose", "d0")) == [Split.TRAIN]
    with database.write() as connection:
        corpora.set_policy(connection, "c", Policy(splits=Splits(golden=0.5, dev=0.5)))
    assert ask(database, fetched(database), about("Nose?", "d9", Split.GOLDEN)) == [Split.TRAIN]


def test_document_that_is_not_there_yet_gets_a_split_too(database: Database) -> None:
    corpus = made(database, golden=0.5, dev=0.5)
    first = ask(database, corpus, about("nose", "later"))
    put_documents(database, "c", [NewDocument("later", "", "text")])
    assert ask(database, corpus, about("bleeding", "later")) == first
