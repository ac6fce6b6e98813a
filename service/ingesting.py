"""Documents on their way into a corpus: prepared as its policy says, compared, then stored or only counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from embedloop.catalog import corpora, documents
from embedloop.corpus import Written
from embedloop.dry_run import DryRun
from embedloop.duplicates import Compared, Duplicate, DuplicateFinder
from embedloop.errors import EmbedloopError, NearDuplicate
from embedloop.ingestion import Account, Prepared, prepare, pseudonym_key
from embedloop.records.documents import NewDocument
from embedloop.text.names import presidio_names
from service.schemas import DocumentIn
from service.state import Service
from service.validation import MAX_TITLE_CHARS, checked_document
from service.writing import delete, put


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document: kept out with an `error`, or a change or none; a dry run writes nothing."""

    document_id: str
    account: Account
    duplicate: Duplicate | None
    changed: bool = False
    written: Written | None = None
    error: EmbedloopError | None = None


class Upload:
    """One upload to one corpus, under the policy that the corpus has when it begins.

    Raises:
        NotFound: there is no such corpus.
    """

    def __init__(self, service: Service, corpus: str, *, dry_run: bool = False):
        self._service = service
        self._corpus = corpus
        with service.database.read() as connection:
            self._policy = corpora.get(connection, corpus).policy
        rules = self._policy.cleaning
        self._finder = (
            None
            if rules.near_duplicates == "off"
            else DuplicateFinder(service.database, corpus, rules.similarity)
        )
        self._dry_run = DryRun(service.database, corpus) if dry_run else None
        self._key = pseudonym_key(service.secret)

    def prepared(self, document_id: str, body: DocumentIn) -> Prepared:
        """Check a document and make of it what the policy says.

        Raises:
            DocumentRejected: the policy keeps it out.
            InvalidInput: it is wrong in itself.
            TooLarge: its text is too long.
            MissingExtra: what cleaning needs is not installed.
        """
        settings = self._service.settings
        sent = checked_document(
            document_id,
            body.title or "",
            body.text or "",
            body.metadata or {},
            max_chars=settings.max_document_chars,
        )
        wanted = self._policy.redaction != "off" and self._policy.redact_names
        names = presidio_names(settings.names_model) if wanted else None
        made = prepare(sent, body.content_type, self._policy, key=self._key, names=names)
        return replace(made, document=replace(made.document, title=made.document.title[:MAX_TITLE_CHARS]))

    def put(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """Store documents in one transaction, without those that the policy keeps out as near duplicates."""
        compared = self._compared([one.document for one in batch])
        pairs = list(zip(batch, compared, strict=True))
        stored = iter(self._stored([one.document for one, found in pairs if not found.refused]))
        outcomes = []
        for one, found in pairs:
            outcome = Outcome(one.document.document_id, one.account, found.duplicate)
            if found.refused:
                outcomes.append(replace(outcome, error=_near_duplicate(outcome)))
            else:
                changed, written = next(stored)
                outcomes.append(replace(outcome, changed=changed, written=written))
        return outcomes

    def delete(self, document_id: str) -> Written | None:
        """Delete a document; None in a dry run. Raises NotFound."""
        if self._dry_run is None:
            return delete(self._service, self._corpus, document_id)
        self._dry_run.delete(document_id)
        if self._finder is not None:
            self._finder.drop(document_id)
        return None

    def _compared(self, batch: Sequence[NewDocument]) -> list[Compared]:
        if self._finder is None:
            return [Compared()] * len(batch)
        refuse = self._policy.cleaning.near_duplicates == "refuse"
        return self._finder.find(batch, self._live([d.document_id for d in batch]), refuse=refuse)

    def _live(self, document_ids: Sequence[str]) -> set[str]:
        if self._dry_run is not None:
            return self._dry_run.live(document_ids)
        with self._service.database.read() as connection:
            return set(documents.hashes(connection, self._corpus, document_ids))

    def _stored(self, kept: Sequence[NewDocument]) -> list[tuple[bool, Written | None]]:
        if self._dry_run is not None:
            return [(changed, None) for changed in self._dry_run.put(kept)]
        if not kept:
            return []
        keys = None if self._finder is None else self._finder.keys([d.document_id for d in kept])
        try:
            written = put(self._service, self._corpus, kept, keys)
        finally:
            # The catalog knows what is stored, and what was not stored is nothing to compare with.
            if self._finder is not None:
                self._finder.forget()
        return [(one.changed, one) for one in written]


def _near_duplicate(outcome: Outcome) -> NearDuplicate:
    found = outcome.duplicate
    if found is None:
        raise ValueError("only a near duplicate is refused as one")
    return NearDuplicate(
        f"document {outcome.document_id!r} repeats {found.similarity:.0%} of document {found.document_id!r}",
        field="text",
    )
