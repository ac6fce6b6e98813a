"""Finds documents that repeat another document of their corpus, and remembers what later ones are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedloop.catalog import documents
from embedloop.catalog import duplicates as keys_in_sql
from embedloop.catalog.database import Database
from embedloop.records import NewDocument
from embedloop.text.duplicates import Shingles, band_keys, shingles, similarity

CANDIDATES_COMPARED = 20


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The live document that one repeats, and how much of it: Jaccard similarity, 0..1."""

    document_id: str
    similarity: float


@dataclass(slots=True)
class _Seen:
    shingles: Shingles
    keys: Sequence[str]


class DuplicateFinder:
    """Compares the documents of one upload with the corpus and with each other.

    Keys find candidates, at most 20 of those that share most keys are compared by their texts. Two uploads at the
    same moment do not see each other; a document stored while the policy was `off` has no keys and is not found.
    """

    def __init__(self, database: Database, corpus: str, threshold: float):
        self._database = database
        self._corpus = corpus
        self._threshold = threshold
        self._seen: dict[str, _Seen] = {}
        self._with_key: dict[str, list[str]] = {}

    def find(self, batch: Sequence[NewDocument]) -> list[Duplicate | None]:
        """The nearest other document of each, those of earlier in the batch or upload included.

        A document is never compared with its own earlier content.
        """
        made = [_seen(document) for document in batch]
        with self._database.read() as connection:
            every = {key for seen in made for key in seen.keys}
            stored = keys_in_sql.sharing(connection, self._corpus, every)
            named = {i for ids in stored.values() for i in ids}
            known = self._compared(batch, made, stored) & named
            texts = documents.get_many(connection, self._corpus, sorted(known))
        earlier = {i: shingles(whole_text(d.title, d.text)) for i, d in texts.items()}
        found = []
        for document, seen in zip(batch, made, strict=True):
            found.append(self._nearest(document.document_id, seen, stored, earlier))
            self._remember(document.document_id, seen)
        return found

    def keys(self, document_ids: Sequence[str]) -> dict[str, Sequence[str]]:
        """What to store with documents that `find` has seen."""
        return {i: self._seen[i].keys for i in document_ids}

    def forget(self) -> None:
        """Drops what was remembered: after a batch is stored, the catalog knows it."""
        self._seen.clear()
        self._with_key.clear()

    def drop(self, document_id: str) -> None:
        """Forgets a document that was not stored."""
        seen = self._seen.pop(document_id, None)
        for key in seen.keys if seen else ():
            self._with_key[key].remove(document_id)

    def _compared(
        self, batch: Sequence[NewDocument], made: Sequence[_Seen], stored: Mapping[str, Sequence[str]]
    ) -> set[str]:
        pairs = zip(batch, made, strict=True)
        return {i for document, seen in pairs for i in self._candidates(document.document_id, seen, stored)}

    def _candidates(
        self, document_id: str, seen: _Seen, stored: Mapping[str, Sequence[str]]
    ) -> list[str]:
        shared = Counter(
            other
            for key in seen.keys
            for other in {*stored.get(key, ()), *self._with_key.get(key, ())}
            if other != document_id
        )
        return [other for other, _ in sorted(shared.items(), key=lambda item: (-item[1], item[0]))][
            :CANDIDATES_COMPARED
        ]

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
            text = self._seen[other].shingles if other in self._seen else earlier.get(other)
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


def whole_text(title: str, text: str) -> str:
    """What is compared of a document."""
    return f"{title}\n{text}"


def _seen(document: NewDocument) -> _Seen:
    of = shingles(whole_text(document.title, document.text))
    return _Seen(of, band_keys(of))
