"""Writes to a corpus, with what every write has in common: the corpus must be there, and appliers are woken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.exc import IntegrityError

from embedloop.catalog import corpora
from embedloop.corpus import Written, delete_document, put_documents
from embedloop.errors import NotFound
from embedloop.records.documents import NewDocument
from service.state import Service


def require_corpus(service: Service, corpus: str) -> None:
    """Raises NotFound."""
    with service.database.read() as connection:
        corpora.get(connection, corpus)


def put(
    service: Service,
    corpus: str,
    batch: Sequence[NewDocument],
    near_duplicate_keys: Mapping[str, Sequence[str]] | None = None,
) -> list[Written]:
    """Stores documents in one transaction. Raises NotFound when there is no such corpus."""
    try:
        written = put_documents(service.database, corpus, batch, near_duplicate_keys)
    except IntegrityError as error:
        raise NotFound(f"there is no corpus {corpus!r}", field="corpus") from error
    if any(w.changed for w in written):
        service.waker.changed(corpus)
    return written


def delete(service: Service, corpus: str, document_id: str) -> Written:
    """Deletes a document. Raises NotFound when there is no such document or corpus."""
    written = delete_document(service.database, corpus, document_id)
    service.waker.changed(corpus)
    return written
