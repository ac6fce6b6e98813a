"""Documents that are read a part at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedloop import jobs
from embedloop.catalog import corpora
from embedloop.catalog.database import Database
from embedloop.corpus import delete_document, put_documents
from embedloop.errors import WorkInterrupted
from embedloop.policy import Policy
from embedloop.records.documents import Corpus, NewDocument
from embedloop.records.jobs import JobKind
from embedloop.settings import Settings
from workers import reading
from workers.parts import Parts
from workers.reading import read_documents


@pytest.fixture
def parts(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Parts]:
    """The documents d0 to d6, of which two are read at a time."""
    monkeypatch.setattr(reading, "DOCUMENTS_PER_READ", 2)
    with database.write() as connection:
        corpora.add(connection, "c", Policy())
    put_documents(database, "c", [NewDocument(f"d{n}", "", f"text {n}") for n in range(7)])
    made = Parts(Settings(data_dir=tmp_path, database_url=database_url))
    yield made
    made.database.dispose()


@pytest.fixture
def corpus(parts: Parts) -> Corpus:
    with parts.database.read() as connection:
        return corpora.get(connection, "c")


def test_documents_come_in_the_order_asked_for_without_those_that_are_gone(
    parts: Parts, corpus: Corpus
) -> None:
    delete_document(parts.database, "c", "d3")
    asked = ["d5", "d0", "d3", "never", "d4", "d1", "d2"]
    read = [document.document_id for document in read_documents(parts, corpus, asked)]
    assert read == ["d5", "d0", "d4", "d1", "d2"]


def test_interrupted_work_reads_no_further_part(parts: Parts, corpus: Corpus) -> None:
    with parts.database.write() as connection:
        job, _ = jobs.submit(connection, JobKind.EVALUATE, "c", {})
    told = threading.Event()
    lease = jobs.Lease(parts.database, job, 0, 30, told.is_set)
    read = read_documents(parts, corpus, ["d0", "d1", "d2"], lease)
    assert next(read).document_id == "d0"
    told.set()
    assert next(read).document_id == "d1"
    with pytest.raises(WorkInterrupted):
        next(read)
