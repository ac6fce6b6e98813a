"""What was removed from training, as it is recognised when it comes again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from embedloop.errors import Conflict, TrainingFailed
from embedloop.records.documents import Document
from embedloop.records.feedback import Vote
from embedloop.records.training import TrainingPair
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import text_key

ANY_KEY = "*"


@dataclass(frozen=True, slots=True)
class Removed:
    """Marks of persons (hashes), ids of documents, keys of texts; nothing else of them is kept."""

    persons: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    def allow(self, vote: Vote) -> bool:
        """Whether a vote may train: neither its person nor its document was removed."""
        return vote.document_id not in self.documents and self.persons.isdisjoint(marks_of(vote.person))

    def has_text(self, text: str) -> bool:
        """Whether this is a text that was removed, blanks and case apart."""
        return bool(self.texts) and text_key(text) in self.texts

    def has_document(self, document: Document) -> bool:
        """Whether this is a document that was removed, or a copy of one under another id."""
        whole = embedding_text(document.title, document.text)
        return document.document_id in self.documents or self.has_text(whole) or self.has_text(document.text)

    def without(self, pair: TrainingPair) -> TrainingPair | None:
        """The pair without negatives that were removed; None where its document or its text was."""
        if pair.document_id in self.documents or self.has_text(pair.positive):
            return None
        ids = pair.negative_ids or ("",) * len(pair.negatives)
        kept = [
            (text, identity)
            for text, identity in zip(pair.negatives, ids, strict=True)
            if identity not in self.documents and not self.has_text(text)
        ]
        if len(kept) == len(pair.negatives):
            return pair
        return replace(
            pair,
            negatives=tuple(text for text, _ in kept),
            negative_ids=tuple(identity for _, identity in kept if identity),
        )

    def refusal(self, document_id: str) -> Conflict | None:
        """Why a label on this document is not taken."""
        if document_id not in self.documents:
            return None
        message = f"document {document_id!r} was removed from training: labels on it are not taken"
        return Conflict(message, field="document_id")


def person_mark(session: str, key_id: str | None = None) -> str:
    """A hash by which a session is known again: that of one key, or of any.

    >>> person_mark("ann", "k1") in marks_of("k1/ann"), person_mark("ann") in marks_of("k2/ann")
    (True, True)
    """
    return _mark(f"{key_id or ANY_KEY}/{session}")


def marks_of(person: str) -> tuple[str, str]:
    """The marks of a person as a retrieval knows it: key, slash, session."""
    _, _, session = person.partition("/")
    return _mark(person), _mark(f"{ANY_KEY}/{session}")


def check_removed(pairs: Iterable[TrainingPair], removed: Removed) -> None:
    """Makes sure, of the pairs as they will train, that nothing removed is among them.

    Raises:
        TrainingFailed: A document or a text was removed.
    """
    for pair in pairs:
        for identity in (pair.document_id, *pair.negative_ids):
            if identity in removed.documents:
                raise TrainingFailed(f"document {identity!r} was removed from training and is in a pair")
        if any(removed.has_text(text) for text in _texts(pair)):
            raise TrainingFailed(f"a text was removed from training and is in the pair of {pair.anchor!r}")


def _texts(pair: TrainingPair) -> Iterator[str]:
    yield pair.positive
    yield from pair.negatives


@lru_cache(maxsize=65536)
def _mark(person: str) -> str:
    return hashlib.blake2b(person.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
