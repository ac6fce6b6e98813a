"""What an upload would change, found out without storing anything."""

from __future__ import annotations

from collections.abc import Sequence

from embedloop.catalog import documents
from embedloop.catalog.database import Database
from embedloop.corpus import content_hash
from embedloop.errors import NotFound
from embedloop.records.documents import NewDocument


class DryRun:
    """Follows one upload over the catalog as it is now; what it would have stored is remembered by its hash."""

    def __init__(self, database: Database, corpus: str):
        self._database = database
        self._corpus = corpus
        self._hashes: dict[str, str | None] = {}

    def put(self, batch: Sequence[NewDocument]) -> list[bool]:
        """Whether each document would be a change."""
        self._look_up([document.document_id for document in batch])
        changed = []
        for document in batch:
            digest = content_hash(document.title, document.text, document.metadata)
            changed.append(self._hashes[document.document_id] != digest)
            self._hashes[document.document_id] = digest
        return changed

    def delete(self, document_id: str) -> None:
        """Raises NotFound when there would be no such live document."""
        self._look_up([document_id])
        if self._hashes[document_id] is None:
            raise NotFound(f"corpus {self._corpus!r} has no document {document_id!r}", field="document_id")
        self._hashes[document_id] = None

    def live(self, document_ids: Sequence[str]) -> set[str]:
        """Those of the ids that would be live documents."""
        self._look_up(document_ids)
        return {i for i in document_ids if self._hashes[i] is not None}

    def _look_up(self, document_ids: Sequence[str]) -> None:
        unknown = [i for i in dict.fromkeys(document_ids) if i not in self._hashes]
        with self._database.read() as connection:
            found = documents.hashes(connection, self._corpus, unknown)
        self._hashes.update({i: found[i][1] if i in found else None for i in unknown})
