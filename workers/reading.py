"""Many documents read a part at a time, between which the job may be told to stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embedloop.catalog import documents
from embedloop.jobs import Lease
from embedloop.records.documents import Corpus, Document
from embedloop.slices import slices
from workers.parts import Parts

DOCUMENTS_PER_READ = 500


def read_documents(
    parts: Parts, corpus: Corpus, ids: Sequence[str], lease: Lease | None = None
) -> Iterator[Document]:
    """The live documents among the ids, in their order; no transaction is open while one is looked at."""
    for part in slices(ids, DOCUMENTS_PER_READ):
        if lease is not None:
            lease.check()
        with parts.database.read() as connection:
            found = documents.get_many(connection, corpus.name, part)
        yield from (found[identity] for identity in part if identity in found)
