"""Finds documents that repeat another document of their corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from embedloop.catalog import documents
from embedloop.catalog import duplicates as keys_in_sql
from embedloop.catalog.database import Database
from embedloop.records.documents import NewDocument
from embedloop.text.duplicates import Shingles, band_keys, shingles, similarity

CANDIDATES_COMPARED = 20


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The document that one repeats, and how much of it: Jaccard similarity, 0..1, greater is nearer."""

    document_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a comparison; `refused` is a near duplicate that is kept out."""

    duplicate: Duplicate | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    shingles: Shingles
    keys: Sequence[str]


class DuplicateFinder:
    """Compares the documents of one upload with the corpus and with each other.

    Keys find candidates; the 20 that share most keys are compared by their texts. Two uploads at the same
    moment do not see each other, and a document stored while the policy was `off` has no keys.
    """

    def __init__(self, database: Database, corpus: str, threshold: float):
        self._database = database
        self._corpus = corpus
        self._threshold = threshold
        self._seen: dict[str, _Seen] = {}
        self._with_key: dict[str, list[str]] = {}

    def find(self, batch: Sequence[NewDocument], live: Collection[str], *, refuse: bool) -> list[Compared]:
        """Compare each document with the corpus, and with those of earlier in the batch or upload.

        A document is never compared with its own earlier content.

        Args:
            batch: In the order in which they came.
            live: Ids that the corpus has already: an update is not refused, whatever it resembles.
            refuse: Whether near duplicates are kept out; later ones are compared with what is stored only.
        """
        made = [_made(document) for document in batch]
        stored, earlier = self._look_up(batch, made)
        taken = set(live)
        found = []
        for document, seen in zip(batch, made, strict=True):
            duplicate = self._nearest(document.document_id, seen, stored, earlier)
            refused = refuse and duplicate is not None and document.document_id not in taken
            found.append(Compared(duplicate, refused))
            if not refused:
                taken.add(document.document_id)
                self._remember(document.document_id, seen)
        return found

    def keys(self, document_ids: Sequence[str]) -> dict[str, Sequence[str]]:
        """What to store with documents that were found not to be kept out."""
        return {i: self._seen[i].keys for i in document_ids}

    def forget(self) -> None:
        """Drops what was remembered: after a batch is stored, the catalog knows it."""
        self._seen.clear()
        self._with_key.clear()

    def drop(self, document_id: str) -> None:
        """Forgets one document."""
        seen = self._seen.pop(document_id, None)
        for key in seen.keys if seen else ():
            self._with_key[key].remove(document_id)

    def _look_up(
        self, batch: Sequence[NewDocument], made: Sequence[_Seen]
    ) -> tuple[Mapping[str, Sequence[str]], Mapping[str, Shingles]]:
        """The live documents that share keys with the batch: ids by key, and those that will be compared."""
        every = {key for seen in made for key in seen.keys}
        with self._database.read() as connection:
            stored = keys_in_sql.sharing(connection, self._corpus, every)
            wanted = {
                candidate
                for document, seen in zip(batch, made, strict=True)
                for candidate in self._candidates(document.document_id, seen, stored)
            }
            texts = documents.get_many(connection, self._corpus, sorted(wanted))
        return stored, {i: shingles(_whole_text(d.title, d.text)) for i, d in texts.items()}

    def _candidates(self, document_id: str, seen: _Seen, stored: Mapping[str, Sequence[str]]) -> list[str]:
        shared = Counter(
            other
            for key in seen.keys
            for other in {*stored.get(key, ()), *self._with_key.get(key, ())}
            if other != document_id
        )
        return sorted(shared, key=lambda other: (-shared[other], other))[:CANDIDATES_COMPARED]

    def _nearest(
        self,
        document_id: str,
        seen: _Seen,
        stored: Mapping[str, Sequence[str]],
        earlier: Mapping[str, Shingles],
    ) -> Duplicate | None:
        scored = []
        for other in self._candidates(document_id, seen, stored):
            # What this upload brings is newer than what is stored under the same id.
            newer = self._seen.get(other)
            text = earlier.get(other) if newer is None else newer.shingles
            if text is not None:
                scored.append((-similarity(seen.shingles, text), other))
        if not scored or -min(scored)[0] < self._threshold:
            return None
        score, other = min(scored)
        return Duplicate(other, -score)

    def _remember(self, document_id: str, seen: _Seen) -> None:
        self.drop(document_id)
        self._seen[document_id] = seen
        for key in seen.keys:
            self._with_key.setdefault(key, []).append(document_id)


def _whole_text(title: str, text: str) -> str:
    return f"{title}\n{text}"


def _made(document: NewDocument) -> _Seen:
    of = shingles(_whole_text(document.title, document.text))
    return _Seen(of, band_keys(of))
