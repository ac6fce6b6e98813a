"""Re-embedding a corpus into a new index version: plan, shards, catch-up, sweep."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sqlalchemy import Connection

from embedloop.applier import View, apply_documents, delete_placed
from embedloop.catalog import corpora, documents, garbage, index_versions, shards
from embedloop.catalog.database import Database, now
from embedloop.policy import Chunking, IndexSettings
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion, Shard

MAX_SHARD_ATTEMPTS = 4
_LENGTHS_PAGE = 5000


def plan(
    connection: Connection,
    *,
    corpus: str,
    model: ModelVersion,
    chunking: Chunking,
    index: IndexSettings,
    job_id: str,
    shard_chars: int,
    shard_documents: int,
) -> IndexVersion:
    """Notes the log's head, writes the building version and cuts the live documents into shards.

    All in the caller's transaction. A shard is a range of ids, so that nothing here grows with the corpus
    but the number of shards.

    Raises:
        Conflict: the corpus has a building version already.
    """
    identity = f"iv-{uuid.uuid4().hex[:20]}"
    head = documents.head(connection, corpus)
    version = IndexVersion(
        index_version_id=identity,
        corpus=corpus,
        model_id=model.model_id,
        # Never the name of an alias: those begin with "el_".
        collection=f"{garbage.own_prefix(connection)}{corpus.replace('-', '_')}_{identity[3:]}",
        state=IndexState.BUILDING,
        chunking=chunking,
        index=index,
        head=head,
        applied_seq=head,
        backfilled=False,
        verification=None,
        served_at=None,
        retired_at=None,
        created_at=now(),
    )
    index_versions.add(connection, version)
    ranges = list(_ranges(connection, corpus, shard_chars, shard_documents))
    shards.add(connection, identity, job_id, ranges)
    return version


def embed_shard(view: View, shard: Shard) -> int:
    """Embeds the live documents of a shard; doing it twice changes nothing. Returns its passages."""
    with view.database.read() as connection:
        ids = documents.ids_in_range(
            connection, view.version.corpus, shard.first_document_id, shard.last_document_id
        )
    return apply_documents(view, ids)


def finish_backfill(database: Database, index_version_id: str) -> None:
    """Lets the applier follow the log from the head that was noted."""
    with database.write() as connection:
        index_versions.set_fields(connection, index_version_id, backfilled=True)


def sweep(view: View) -> int:
    """Deletes every row whose (document, rev) is not live; returns how many rows went.

    Placements name most of them; a scan of the collection finds the rows that a worker wrote late, after its
    lease was gone.
    """
    identity, corpus = view.version.index_version_id, view.version.corpus
    swept = 0
    with view.database.read() as connection:
        stale = [
            placed
            for page in index_versions.iterate_placements(connection, identity)
            for placed, live in page
            if not live
        ]
    delete_placed(view, stale)
    swept += sum(placed.passages for placed in stale)
    for page in view.index.scan(view.version.collection):
        view.check()
        with view.database.read() as connection:
            live_revs = documents.live_revs(connection, corpus, {row.document_id for row in page})
        late = [row.passage_id for row in page if live_revs.get(row.document_id) != row.rev]
        view.index.delete(view.version.collection, late)
        swept += len(late)
    return swept


def retire(connection: Connection, index_version_id: str) -> None:
    """Marks a version that serves no more, or never will, for collection; the serving one is left alone."""
    version = index_versions.get(connection, index_version_id)
    # Locked, so that a promotion of this version is either over, and seen here, or comes too late.
    corpus = corpora.get(connection, version.corpus, lock=True)
    if version.state is not IndexState.RETIRED and corpus.serving != index_version_id:
        index_versions.set_fields(
            connection, index_version_id, state=IndexState.RETIRED.value, retired_at=now()
        )
        if corpus.previous == index_version_id:
            corpora.set_serving(connection, corpus.name, corpus.serving, None)


def _ranges(
    connection: Connection, corpus: str, shard_chars: int, shard_documents: int
) -> Iterator[tuple[str, str]]:
    """Cuts the ids, in their order, where the volume of text reaches `shard_chars`."""
    first, last, volume, count = "", "", 0, 0
    after = ""
    while page := documents.lengths_after(connection, corpus, after, _LENGTHS_PAGE):
        for document_id, length in page:
            if count and (volume + length > shard_chars or count >= shard_documents):
                yield first, last
                count, volume = 0, 0
            if not count:
                first = document_id
            last, volume, count = document_id, volume + length, count + 1
        after = page[-1][0]
    if count:
        yield first, last
