"""What the policy of a corpus makes of a document before it is stored: cleaned, judged, redacted."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from embedloop.errors import DocumentRejected
from embedloop.policy import Policy
from embedloop.records.documents import NewDocument
from embedloop.text.cleaned import Cleaned, ContentType, Rejection, Removal
from embedloop.text.cleaning import clean
from embedloop.text.redact import NameFinder, redact


@dataclass(frozen=True, slots=True)
class Account:
    """What was done to a document; empty for one that is stored as it was sent.

    `rejection` is what the policy only tells; a document that it refuses never gets an account.
    """

    language: str | None = None
    removed: tuple[Removal, ...] = ()
    redacted: Mapping[str, int] | None = None
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as it will be stored, and what was done to it."""

    document: NewDocument
    account: Account


def prepare(
    document: NewDocument,
    content_type: ContentType,
    policy: Policy,
    *,
    key: bytes,
    names: NameFinder | None = None,
) -> Prepared:
    """Clean and redact one document as the policy says; metadata stays as it is.

    Args:
        document: As it was sent: its text is of `content_type`.
        content_type: How the text is written.
        policy: Of the corpus.
        key: Of the pseudonyms, from `pseudonym_key`.
        names: Finds names of persons, where the policy wants them redacted.

    Raises:
        DocumentRejected: it is not worth keeping and the policy refuses such documents, or nothing is left of
        it.
        InvalidInput: a mail without headers.
        MissingExtra: a library of the extra `ingest` is not installed.
    """
    account = Account()
    rules = policy.cleaning
    if rules.documents == "all" or (rules.documents == "markup" and content_type is not ContentType.TEXT):
        cleaned = clean(
            document.text,
            content_type,
            title=document.title,
            languages=rules.languages,
            min_words=rules.min_words,
        )
        _check(document.document_id, cleaned, refuse=rules.rejects == "refuse")
        document = replace(document, title=cleaned.title, text=cleaned.text)
        account = Account(cleaned.language, cleaned.removed, None, cleaned.rejection)
    if policy.redaction == "off":
        return Prepared(document, account)
    counts: Counter[str] = Counter()
    redacted: dict[str, Any] = {}
    for part in ("title", "text"):
        done = redact(getattr(document, part), policy.redaction, key=key, names=names)
        redacted[part] = done.text
        counts.update(done.counts)
    return Prepared(replace(document, **redacted), replace(account, redacted=dict(counts)))


def pseudonym_key(secret: str) -> bytes:
    """The key of a deployment's pseudonyms, derived from its secret: another purpose has another key."""
    return hmac.new(secret.encode(), b"pseudonyms of personal data", hashlib.sha256).digest()


def _check(document_id: str, cleaned: Cleaned, *, refuse: bool) -> None:
    rejection = cleaned.rejection
    nothing_left = not cleaned.title.strip() and not cleaned.text.strip()
    if rejection is not None and (refuse or nothing_left):
        message = f"document {document_id!r} is kept out ({rejection.code}): {rejection.detail}"
        raise DocumentRejected(message, reason=rejection.code, detail=rejection.detail)
