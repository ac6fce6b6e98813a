"""Which documents of a catalog give pairs, and which only measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedloop import jobs, removal
from embedloop.catalog import corpora, removals, splits
from embedloop.catalog.database import Database
from embedloop.corpus import put_documents
from embedloop.encoder import TOKENIZER_FILE
from embedloop.jobs import Lease
from embedloop.policy import Chunking, Policy
from embedloop.records.documents import NewDocument
from embedloop.records.jobs import JobKind
from embedloop.records.labels import Split
from embedloop.settings import Settings
from embedloop.text.chunking import Chunker
from tests.tiny_model import build_tiny_model
from workers.parts import Parts
from workers.unlabelled import Source, held_out_pairs, pairs_without_labels, split_of_documents

DOCUMENTS = [
    NewDocument(f"d{n}", f"title number {n}", f"body {n} of a text that has some words") for n in range(8)
]


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"), words=["a"]) / TOKENIZER_FILE


@pytest.fixture
def source_with(
    database: Database, database_url: str, tokenizer_file: Path, tmp_path: Path
) -> Callable[..., Source]:
    """Reads the corpus; documents in `groups` have the split of queries that ask for them."""
    policy = {"splits": {"golden": 0.4, "dev": 0}, "training": {"sources": ["structure"]}}
    with database.write() as connection:
        corpora.add(connection, "c", Policy.model_validate(policy))
    put_documents(database, "c", DOCUMENTS)

    def make(*, hold_out: bool, **groups: Split) -> Source:
        with database.write() as connection:
            rows = [(splits.DOCUMENT, name, "s", split) for name, split in groups.items()]
            splits.add_groups(connection, "c", rows)
            job, _ = jobs.submit(connection, JobKind.EVALUATE, "c", {})
            corpus = corpora.get(connection, "c")
            removed = removals.marks(connection, "c")
        return Source(
            Parts(Settings(data_dir=tmp_path, database_url=database_url)),
            corpus,
            Chunker.from_tokenizer_file(tokenizer_file, Chunking(), 64),
            split_of_documents(database, corpus, hold_out=hold_out),
            removed,
            Lease(database, job, 0, 30),
        )

    return make


def documents_of(source: Source) -> dict[str, Split]:
    found = pairs_without_labels(source, set(), _no_model)
    return {pair.document_id: pair.split for pair in found.pairs}


def _no_model() -> Any:
    raise AssertionError("no language model is asked")


def test_documents_follow_the_queries_that_ask_for_them(source_with: Callable[..., Source]) -> None:
    source = source_with(hold_out=False, d0=Split.GOLDEN, d1=Split.DEV)
    found = documents_of(source)
    source.parts.database.dispose()
    assert found == {"d1": Split.DEV, **{f"d{n}": Split.TRAIN for n in range(2, 8)}}


def test_documents_held_out_measure_and_train_nothing(source_with: Callable[..., Source]) -> None:
    source = source_with(hold_out=True, d0=Split.GOLDEN)
    trained, measured = set(documents_of(source)), {pair.document_id for pair in held_out_pairs(source)}
    source.parts.database.dispose()
    assert "d0" in measured
    assert len(measured) > 1
    assert trained
    assert not trained & measured
    assert trained | measured == {one.document_id for one in DOCUMENTS}


def test_removed_document_and_its_copy_give_no_pair(
    source_with: Callable[..., Source], database: Database
) -> None:
    copy = NewDocument("copy", "another title", DOCUMENTS[3].text)
    put_documents(database, "c", [copy])
    removal.forget_document(database, "c", "d3")
    source = source_with(hold_out=False)
    found = documents_of(source)
    source.parts.database.dispose()
    assert set(found) == {one.document_id for one in DOCUMENTS} - {"d3"}
