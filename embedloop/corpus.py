"""Documents, passages and the change log: the write path. Validation happens at the edge, before this."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedloop.catalog import documents, duplicates, index_versions
from embedloop.catalog.database import Database
from embedloop.errors import DeadlineExceeded, InvalidInput, NotFound
from embedloop.index import MilvusIndex
from embedloop.index_rows import passage_id
from embedloop.records.documents import Document, NewDocument, Op, Passage
from embedloop.records.versions import IndexVersion
from embedloop.text.chunking import Chunker

WAIT_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one write: `changed` is false when the content was there already."""

    document_id: str
    rev: int
    seq: int
    changed: bool


def content_hash(title: str, text: str, metadata: Mapping[str, Any]) -> str:
    """SHA-256 over title, text and metadata: equal content is not a change."""
    content = json.dumps([title, text, dict(metadata)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def put_documents(
    database: Database,
    corpus: str,
    batch: Sequence[NewDocument],
    near_duplicate_keys: Mapping[str, Sequence[str]] | None = None,
) -> list[Written]:
    """Stores documents with their change rows in one transaction; returning means acknowledged.

    Of several documents with one id in the batch the last one wins, each in its turn. Keys of near duplicates
    are given by id, where the policy looks for them.
    """
    with database.write() as connection:
        duplicates.replace(connection, corpus, near_duplicate_keys or {})
        known = documents.hashes(connection, corpus, [d.document_id for d in batch])
        latest = {document_id: digest for document_id, (_, digest) in known.items()}
        digests = [content_hash(d.title, d.text, d.metadata) for d in batch]
        changed = []
        for document, digest in zip(batch, digests, strict=True):
            changed.append(latest.get(document.document_id) != digest)
            latest[document.document_id] = digest
        pending = [(d, digest) for d, digest, new in zip(batch, digests, changed, strict=True) if new]
        appended = [(document.document_id, Op.UPSERT, digest) for document, digest in pending]
        seqs = documents.append_changes(connection, corpus, appended)
        stored = [(document, seq, digest) for (document, digest), seq in zip(pending, seqs, strict=True)]
        documents.store(connection, corpus, stored)
    return _written(batch, changed, seqs, {document_id: rev for document_id, (rev, _) in known.items()})


def _written(
    batch: Sequence[NewDocument], changed: Sequence[bool], seqs: Sequence[int], revs: dict[str, int]
) -> list[Written]:
    """What became of each document: the changed ones take the new `seq`s in turn, the others keep their rev."""
    following = iter(seqs)
    written = []
    for document, new in zip(batch, changed, strict=True):
        if new:
            revs[document.document_id] = next(following)
        rev = revs[document.document_id]
        written.append(Written(document.document_id, rev, rev, new))
    return written


def delete_document(database: Database, corpus: str, document_id: str) -> Written:
    """Deletes a document with its change row in one transaction.

    Raises:
        NotFound: there is no such live document.
    """
    with database.write() as connection:
        if document_id not in documents.hashes(connection, corpus, [document_id]):
            raise NotFound(f"corpus {corpus!r} has no document {document_id!r}", field="document_id")
        duplicates.forget(connection, corpus, document_id)
        (seq,) = documents.append_changes(connection, corpus, [(document_id, Op.DELETE, "")])
        documents.bury(connection, corpus, document_id, seq)
    return Written(document_id, seq, seq, True)


def get_document(database: Database, corpus: str, document_id: str) -> Document:
    """Raises NotFound."""
    with database.read() as connection:
        found = documents.get_many(connection, corpus, [document_id]).get(document_id)
    if found is None:
        raise NotFound(f"corpus {corpus!r} has no document {document_id!r}", field="document_id")
    return found


def passages_of(document: Document, chunker: Chunker) -> list[Passage]:
    """Cuts a document into passages, each with the primary key of its row."""
    return [
        Passage(
            passage_id=passage_id(document.document_id, document.rev, chunk.ordinal),
            document_id=document.document_id,
            rev=document.rev,
            ordinal=chunk.ordinal,
            title=document.title,
            text=chunk.text,
            metadata=document.metadata,
        )
        for chunk in chunker.split(document.title, document.text)
    ]


def wait_applied(
    database: Database,
    index: MilvusIndex,
    version: IndexVersion,
    written: Sequence[Written],
    *,
    timeout_seconds: float,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Waits until a version has applied these writes, then confirms them with a Strong read.

    Raises:
        DeadlineExceeded: the applier did not get there in time; the writes stay acknowledged.
        InvalidInput: a document cannot be embedded; the message holds the reason.
    """
    last = max((w.seq for w in written), default=0)
    deadline = time.monotonic() + timeout_seconds
    while True:
        with database.read() as connection:
            applied = index_versions.get(connection, version.index_version_id).applied_seq
        if applied >= last:
            break
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                f"the writes are stored, but index version {version.index_version_id} has applied only "
                f"{applied} of {last} after {timeout_seconds:g} s",
                retry_after_seconds=1,
            )
        pause(WAIT_POLL_SECONDS)
    _confirm(database, index, version, {w.document_id: w.rev for w in written if w.changed})


def _confirm(database: Database, index: MilvusIndex, version: IndexVersion, revs: Mapping[str, int]) -> None:
    with database.read() as connection:
        failures = index_versions.failures(connection, version.index_version_id)
        placed = index_versions.placements_of(connection, version.index_version_id, list(revs))
    for document_id in revs:
        if document_id in failures:
            raise InvalidInput(
                f"document {document_id!r} is stored but cannot be embedded: {failures[document_id]}",
                field="text",
            )
    expected = {
        passage_id(p.document_id, p.rev, ordinal): document_id
        for document_id, rev in revs.items()
        for p in placed.get(document_id, [])
        if p.rev == rev
        for ordinal in range(p.passages)
    }
    missing = set(expected) - index.present(version.collection, list(expected))
    if missing:
        with database.read() as connection:
            live = documents.live_revs(connection, version.corpus, list(revs))
        # A later write may have replaced the rows in the meantime; only what is still live must be there.
        absent = sorted({d for d in (expected[key] for key in missing) if live.get(d) == revs[d]})
        if absent:
            raise DeadlineExceeded(
                f"{len(absent)} documents are not readable yet, first {absent[:5]}", retry_after_seconds=1
            )
