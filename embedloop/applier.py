"""The applier: keeps one index version equal to the catalog by following the change log.

A change is only a wake-up. The applier reads each document's current state, writes the rows of its new rev,
deletes the older rows by key, and moves the cursor by compare-and-set under its fencing token.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np

from embedloop.catalog import documents, index_versions
from embedloop.catalog.database import Database
from embedloop.copying import VectorSource
from embedloop.corpus import passages_of
from embedloop.encoder import Encoder, Vectors, go_on
from embedloop.errors import EmbedloopError, JobCancelled, LeaseLost, Misconfigured
from embedloop.index import MilvusIndex
from embedloop.index_rows import passage_id
from embedloop.leases import Renewal
from embedloop.records.documents import Document, Passage
from embedloop.records.versions import IndexVersion, Placement
from embedloop.text.chunking import Chunker, embedding_text

log = logging.getLogger(__name__)

T = TypeVar("T")

CHANGES_PER_ROUND = 500
# Batches are planned within a round, and its rows are one message: fewer would be padded more.
PASSAGES_PER_ROUND = 512
# Nothing is encoded while these are cut.
PASSAGES_OF_FIRST_ROUND = 64
FLUSH_AFTER_ROWS = 500
MAX_DOCUMENT_ATTEMPTS = 3
NAMED_PASSAGES = 20
# A process short of memory, or that Milvus does not let in, says nothing about the documents.
_NOT_THE_DOCUMENTS = (LeaseLost, JobCancelled, Misconfigured, MemoryError, OSError)


@dataclass(frozen=True, slots=True)
class View:
    """One index version with what is needed to write to it.

    Attributes:
        check: Called between two batches or pages, from whatever thread is at work; raises what shall end it.
        source: Asked for vectors before they are encoded.
    """

    database: Database
    index: MilvusIndex
    version: IndexVersion
    encoder: Encoder
    chunker: Chunker
    check: Callable[[], None] = go_on
    source: VectorSource | None = None


def apply_changes(view: View, *, lease_seconds: float) -> int | None:
    """Applies the changes that are in the log by now; what is written meanwhile is for another turn.

    Whoever calls it asks `lags` afterwards: a wake-up that came while the lease was held here was refused.

    Returns:
        Rows written, or None when another applier holds the lease (it will see the changes).

    Raises:
        Unavailable: Milvus or the catalog went away; what was applied stays applied.
        LeaseLost: another applier took over.
    """
    with following(view, lease_seconds=lease_seconds) as applier:
        if applier is None:
            return None
        rows = applier.catch_up()
        if rows >= FLUSH_AFTER_ROWS:
            view.index.flush(view.version.collection)
        return rows


def lags(view: View) -> bool:
    """Whether the log holds changes that the version has not applied."""
    with view.database.read() as connection:
        applied = index_versions.get(connection, view.version.index_version_id).applied_seq
        return applied < documents.head(connection, view.version.corpus)


@dataclass(frozen=True, slots=True)
class Applier:
    """The holder of a version's applier lease: while it lives, nobody else writes to the version."""

    view: View
    token: int
    renewal: Renewal

    def catch_up(self) -> int:
        """Applies changes up to where the log ends at the begin; returns the number of rows written.

        No further: writers that never pause must not keep one worker at one version for ever.
        """
        view, total = self.view, 0
        identity = view.version.index_version_id
        with view.database.read() as connection:
            head = documents.head(connection, view.version.corpus)
        while True:
            with view.database.read() as connection:
                cursor = index_versions.get(connection, identity).applied_seq
                batch = documents.changes_after(connection, view.version.corpus, cursor, CHANGES_PER_ROUND)
            if cursor >= head or not batch:
                return total
            total += apply_documents(view, list(dict.fromkeys(change.document_id for change in batch)))
            self.renewal.check()
            with view.database.write() as connection:
                index_versions.advance(connection, identity, self.token, cursor, batch[-1].seq)


@contextmanager
def following(view: View, *, lease_seconds: float) -> Iterator[Applier | None]:
    """Holds the applier's lease of a version for the block; None when another applier holds it."""
    identity = view.version.index_version_id
    with view.database.write() as connection:
        token = index_versions.claim_applier(connection, identity, lease_seconds)
    if token is None:
        yield None
        return
    held = partial(_renew, view, token, lease_seconds)
    try:
        with Renewal(held, every_seconds=lease_seconds / 3) as renewal:
            yield Applier(view, token, renewal)
    finally:
        _release(view, token)


def _renew(view: View, token: int, lease_seconds: float) -> None:
    with view.database.write() as connection:
        index_versions.renew_applier(connection, view.version.index_version_id, token, lease_seconds)


def _release(view: View, token: int) -> None:
    try:
        _renew(view, token, 0)
    except LeaseLost:
        log.warning("the applier's lease on %s went to another worker", view.version.index_version_id)


def apply_documents(view: View, document_ids: Sequence[str]) -> int:
    """Makes the version hold exactly the live state of these documents; returns the number of rows written.

    A document that cannot be embedded is found by bisection and tried `MAX_DOCUMENT_ATTEMPTS` times; then it is
    recorded with its reason and its passages at fault, its older passages are removed, and the others go on.
    """
    rows = _attempt(partial(_apply, view, document_ids))
    if not isinstance(rows, Exception):
        return rows
    if len(document_ids) > 1:
        middle = len(document_ids) // 2
        return apply_documents(view, document_ids[:middle]) + apply_documents(view, document_ids[middle:])
    for _ in range(MAX_DOCUMENT_ATTEMPTS - 1):
        view.check()
        rows = _attempt(partial(_apply, view, document_ids))
        if not isinstance(rows, Exception):
            return rows
    _record_poison(view, document_ids[0], rows)
    return 0


def _attempt(work: Callable[[], T]) -> T | Exception:
    """What the work returns, or the error that what it worked on is to blame for; any other is raised."""
    try:
        return work()
    except _NOT_THE_DOCUMENTS:
        raise
    # Anything can go wrong inside a tokenizer or a graph on hostile text; it is recorded, not lost.
    except Exception as error:
        if isinstance(error, EmbedloopError) and error.retryable:
            raise
        return error


def delete_placed(view: View, gone: Sequence[Placement]) -> None:
    """Deletes the rows of placements by key, then forgets the placements."""
    keys = [passage_id(p.document_id, p.rev, ordinal) for p in gone for ordinal in range(p.passages)]
    if keys:
        view.index.delete(view.version.collection, keys)
    if gone:
        with view.database.write() as connection:
            index_versions.unplace(connection, view.version.index_version_id, gone)


def _apply(view: View, document_ids: Sequence[str]) -> int:
    identity = view.version.index_version_id
    with view.database.read() as connection:
        placed = index_versions.placements_of(connection, identity, document_ids)
        live = documents.get_many(connection, view.version.corpus, document_ids)
        failed = index_versions.failures(connection, identity)
    current = {p.document_id for group in placed.values() for p in group if _is_current(p, live)}
    pending = [d for d in live.values() if d.document_id not in current]
    written = _embed(view, _rounds(view, pending))
    delete_placed(view, [p for group in placed.values() for p in group if not _is_live(p, live)])
    healed = [i for i in document_ids if i in failed]
    if healed:
        with view.database.write() as connection:
            index_versions.clear_failures(connection, identity, healed)
    return written


def _embed(view: View, rounds: Iterator[Sequence[Passage]]) -> int:
    """Encodes rounds, while the next one is cut and the last one is written. Returns the rows written."""
    rows = 0
    writing: Future[None] | None = None
    with (
        ThreadPoolExecutor(1, thread_name_prefix="passages") as cutter,
        ThreadPoolExecutor(1, thread_name_prefix="rows") as writer,
    ):
        cutting = cutter.submit(next, rounds, ())
        while passages := cutting.result():
            cutting = cutter.submit(next, rounds, ())
            vectors = _encode(view, passages)
            if writing is not None:
                writing.result()
            writing = writer.submit(_write, view, passages, vectors)
            rows += len(passages)
        if writing is not None:
            writing.result()
    return rows


def _encode(view: View, passages: Sequence[Passage]) -> Vectors:
    """Vectors (n, dim) of passages; stops between batches when the view says so."""
    known: dict[str, Vectors] = {} if view.source is None else view.source.find(passages)
    todo = [p for p in passages if p.passage_id not in known]
    # Where all are known, nothing else asks.
    view.check()
    if todo:
        texts = [embedding_text(p.title, p.text) for p in todo]
        encoded = view.encoder.encode_passages(texts, check=view.check)
        known.update(zip((p.passage_id for p in todo), encoded, strict=True))
    return np.stack([known[p.passage_id] for p in passages])


def _write(view: View, passages: Sequence[Passage], vectors: Vectors) -> None:
    counts: dict[tuple[str, int], int] = {}
    for passage in passages:
        key = (passage.document_id, passage.rev)
        counts[key] = counts.get(key, 0) + 1
    _place(view, counts, written=False)
    view.index.upsert(view.version.collection, passages, vectors)
    _place(view, counts, written=True)


def _place(view: View, counts: dict[tuple[str, int], int], *, written: bool) -> None:
    placed = [Placement(document_id, rev, n, written) for (document_id, rev), n in counts.items()]
    with view.database.write() as connection:
        index_versions.place(connection, view.version.index_version_id, placed)


def _rounds(view: View, pending: Sequence[Document]) -> Iterator[list[Passage]]:
    """Passages in rounds of whole documents of like length: a document's rows are written together."""
    passages: list[Passage] = []
    most = PASSAGES_OF_FIRST_ROUND
    for document in sorted(pending, key=lambda d: len(d.title) + len(d.text)):
        view.check()
        cut = passages_of(document, view.chunker)
        if passages and len(passages) + len(cut) > most:
            yield passages
            passages, most = [], PASSAGES_PER_ROUND
        passages.extend(cut)
    if passages:
        yield passages


def _is_current(placed: Placement, live: dict[str, Document]) -> bool:
    return placed.written and _is_live(placed, live)


def _is_live(placed: Placement, live: dict[str, Document]) -> bool:
    document = live.get(placed.document_id)
    return document is not None and document.rev == placed.rev


def _record_poison(view: View, document_id: str, error: Exception) -> None:
    log.warning("document %r cannot be applied to %s: %s", document_id, view.version.index_version_id, error)
    identity = view.version.index_version_id
    with view.database.read() as connection:
        document = documents.get_many(connection, view.version.corpus, [document_id]).get(document_id)
    culprits = [] if document is None else list(islice(_culprits_of(view, document), NAMED_PASSAGES))
    with view.database.read() as connection:
        placed = index_versions.placements_of(connection, identity, [document_id]).get(document_id, [])
    delete_placed(view, placed)
    if document is not None:
        with view.database.write() as connection:
            index_versions.record_failure(
                connection,
                identity,
                document_id,
                document.rev,
                f"{type(error).__name__}: {error}",
                attempts=MAX_DOCUMENT_ATTEMPTS,
                passage_ids=[passage.passage_id for passage in culprits],
            )


def _culprits_of(view: View, document: Document) -> Iterator[Passage]:
    """The passages of a document that cannot be embedded or stored, each alone; none if it cannot be cut."""
    passages = _attempt(lambda: passages_of(document, view.chunker))
    if isinstance(passages, Exception):
        return
    # What the trials store is deleted by this placement.
    _place(view, {(document.document_id, document.rev): len(passages)}, written=False)
    yield from _culprits(view, passages)


def _culprits(view: View, passages: Sequence[Passage]) -> Iterator[Passage]:
    if not isinstance(_attempt(partial(_try, view, passages)), Exception):
        return
    if len(passages) == 1:
        yield passages[0]
        return
    middle = len(passages) // 2
    yield from _culprits(view, passages[:middle])
    yield from _culprits(view, passages[middle:])


def _try(view: View, passages: Sequence[Passage]) -> int:
    view.index.upsert(view.version.collection, passages, _encode(view, passages))
    return len(passages)
