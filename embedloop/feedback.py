"""Feedback and judgments: what may be said about a retrieval, and which split a query gets for ever."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from embedloop import splits
from embedloop.catalog import corpora, documents, labelled_pairs, removals
from embedloop.catalog import feedback as catalog
from embedloop.catalog.database import Database, now
from embedloop.catalog.splits import DOCUMENT
from embedloop.errors import Conflict, InvalidInput, NotFound
from embedloop.records.documents import Corpus
from embedloop.records.feedback import Feedback, Retrieval, Signal
from embedloop.records.labels import Judgment, JudgmentSource, Split
from embedloop.text.normalise import query_key
from embedloop.text.redact import redact

log = logging.getLogger(__name__)

_MAC_BYTES = 12
_TAG_CHARS = 8
_POSITIVE = (Signal.UP, Signal.CORRECT)


class Aggregated(Protocol):
    """A label made of several people's votes, as training hands it over."""

    @property
    def query(self) -> str: ...

    @property
    def document_id(self) -> str: ...

    @property
    def grade(self) -> int: ...

    @property
    def sources(self) -> Sequence[str]: ...

    @property
    def by_clicks(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ImportedJudgment:
    """One line of an import; without `split` the query is assigned one at first sight.

    `source` names the import and the line, as `lineage.import_source` does.
    """

    query: str
    document_id: str
    grade: int
    split: Split | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class GivenFeedback:
    """What a caller says about a retrieval; at most one of `document_id` and `passage_id`."""

    retrieval_id: str
    signal: Signal
    document_id: str | None = None
    passage_id: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptedFeedback:
    """Feedback that is well-formed and about a retrieval that was signed here; its comment is redacted."""

    feedback_id: str
    given: GivenFeedback
    person: str
    visible: tuple[str, ...] | None
    at: datetime


def mint_retrieval_id(secret: str, corpus: str) -> str:
    """A signed id of 57 URL-safe characters that sorts by time and names its corpus by a hash.

    The corpus is in it because feedback can arrive before the retrieval reaches the catalog.
    """
    body = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}{_tag(corpus)}"
    return f"{body}.{_mac(secret, body)}"


def check_retrieval_id(secret: str, retrieval_id: str) -> None:
    """Raises InvalidInput for an id that this service did not sign."""
    body, _, mac = retrieval_id.partition(".")
    # Compared as bytes: compare_digest refuses text that is not ASCII.
    if not hmac.compare_digest(_mac(secret, body).encode(), mac.encode()):
        raise InvalidInput(
            f"retrieval_id must be one that a search answered with, got {retrieval_id[:80]!r}",
            field="retrieval_id",
        )


def is_logged(database: Database, retrieval_id: str) -> bool:
    """Whether the retrieval has reached the catalog."""
    with database.read() as connection:
        return catalog.retrieval(connection, retrieval_id) is not None


def give_feedback(
    database: Database,
    secret: str,
    given: GivenFeedback,
    *,
    person: str,
    visible: Sequence[str] | None,
) -> Feedback:
    """Stores a signal on a retrieval; pending while the retrieval has not reached the catalog.

    Raises:
        InvalidInput: a forged retrieval id, a signal without what it needs, or a document that was not shown.
        NotFound: the corpus is gone, or not visible to the caller.
    """
    return store_feedback(database, accept_feedback(secret, given, person=person, visible=visible))


def accept_feedback(
    secret: str, given: GivenFeedback, *, person: str, visible: Sequence[str] | None
) -> AcceptedFeedback:
    """What can be checked without the catalog, so that feedback is taken while that is away.

    Args:
        secret: Key of the retrieval ids' signature.
        given: What is said.
        person: Who says it, kept until the retrieval tells who asked.
        visible: Corpora that the caller may see, None for all.

    Raises:
        InvalidInput: a forged retrieval id, or a signal without what it needs.
    """
    check_retrieval_id(secret, given.retrieval_id)
    _check_target(given)
    comment = None if given.comment is None else redact(given.comment).text
    return AcceptedFeedback(
        feedback_id=f"f-{uuid.uuid4().hex}",
        given=replace(given, comment=comment),
        person=person,
        visible=None if visible is None else tuple(visible),
        at=now(),
    )


def store_feedback(database: Database, accepted: AcceptedFeedback) -> Feedback:
    """Stores what was accepted, once however often it is stored.

    Raises:
        InvalidInput: a document that was not shown or does not exist.
        NotFound: the corpus is gone, or not visible to the caller.
    """
    given, visible = accepted.given, accepted.visible
    with database.write() as connection:
        retrieval = catalog.retrieval(connection, given.retrieval_id)
        corpus = retrieval.corpus if retrieval else _corpus_of(connection, given.retrieval_id)
        if corpus is None or (visible is not None and corpus not in visible):
            raise NotFound("there is no such retrieval", field="retrieval_id")
        if given.signal is Signal.CORRECT:
            _check_exists(connection, corpus, str(given.document_id))
        document_id = given.document_id
        if retrieval is not None:
            document_id = _judged(retrieval, given.signal, given.document_id, given.passage_id)
        stored = Feedback(
            feedback_id=accepted.feedback_id,
            retrieval_id=given.retrieval_id,
            corpus=corpus,
            signal=given.signal,
            document_id=document_id,
            person=retrieval.person if retrieval else accepted.person,
            comment=given.comment,
            pending=retrieval is None,
            at=accepted.at,
        )
        catalog.add(connection, stored, given.passage_id)
    return stored


def settle_pending(database: Database) -> int:
    """Settles feedback whose retrieval has arrived; what names something not shown goes, with a logged reason.

    Returns:
        How many were settled or removed.
    """
    with database.read() as connection:
        waiting = catalog.pending(connection)
        arrived = catalog.retrievals_of(connection, [f.retrieval_id for f, _ in waiting])
    ready = [(f, p, arrived[f.retrieval_id]) for f, p in waiting if f.retrieval_id in arrived]
    if not ready:
        return 0
    with database.write() as connection:
        for given, passage_id, retrieval in ready:
            try:
                document_id = _judged(retrieval, given.signal, given.document_id, passage_id)
            except InvalidInput as error:
                log.warning("pending feedback %s is removed: %s", given.feedback_id, error)
                catalog.remove(connection, given.feedback_id)
                continue
            catalog.settle(connection, given.feedback_id, person=retrieval.person, document_id=document_id)
    return len(ready)


def take_back(database: Database, feedback_id: str, *, visible: Sequence[str] | None) -> None:
    """Removes feedback; the next aggregation makes judgments without it.

    Raises:
        NotFound: there is none, or the caller may not see its corpus.
    """
    with database.write() as connection:
        known = catalog.get(connection, feedback_id)
        if known is None or (visible is not None and known.corpus not in visible):
            raise NotFound(f"there is no feedback {feedback_id!r}", field="feedback_id")
        catalog.remove(connection, feedback_id)


def import_judgments(
    database: Database, corpus: Corpus, lines: Sequence[ImportedJudgment]
) -> list[Conflict | None]:
    """Stores labels that people already have.

    A query's split is fixed at first sight: by the line that names one, or with its first relevant document.

    Returns:
        For each line None if it was stored, or a Conflict when its split contradicts the one fixed earlier, or
        when its document was removed from training.
    """
    redacted = [replace(line, query=redact(line.query).text) for line in lines]
    keys = [query_key(line.query) for line in redacted]
    # Lines that name a split come first, then relevant documents; the sort keeps the order of lines otherwise.
    order = sorted(redacted, key=lambda line: (line.split is None, line.grade == 0))
    with database.write() as connection:
        removed = removals.marks(connection, corpus.name)
        seen = [
            splits.SeenQuery(line.query, splits.Group(DOCUMENT, line.document_id), line.split)
            for line in order
            if line.document_id not in removed.documents
        ]
        fixed = splits.fix(connection, corpus, seen)
        outcomes = [
            removed.refusal(line.document_id) or contradiction(line.split, fixed[key])
            for line, key in zip(redacted, keys, strict=True)
        ]
        stored = [
            Judgment(
                line.query,
                line.document_id,
                line.grade,
                fixed[key],
                JudgmentSource.IMPORT,
                (line.source,) if line.source else (),
            )
            for line, key, refused in zip(redacted, keys, outcomes, strict=True)
            if refused is None
        ]
        catalog.store_judgments(connection, corpus.name, stored)
    return outcomes


def judge_from_feedback(database: Database, corpus: Corpus, aggregated: Iterable[Aggregated]) -> None:
    """Makes these the corpus' judgments from feedback; new queries get their split, others keep theirs.

    What was made of feedback that is gone by now, taken back or removed with its person, is left out.
    """
    made = sorted(aggregated, key=lambda one: one.grade == 0)
    with database.write() as connection:
        there = set(catalog.locked(connection, {source for one in made for source in one.sources}))
        judged = [one for one in made if there.issuperset(one.sources)]
        seen = [splits.SeenQuery(one.query, splits.Group(DOCUMENT, one.document_id)) for one in judged]
        fixed = splits.fix(connection, corpus, seen)
        labels = [
            Judgment(
                query=one.query,
                document_id=one.document_id,
                grade=one.grade,
                split=fixed[query_key(one.query)],
                source=JudgmentSource.CLICKS if one.by_clicks else JudgmentSource.FEEDBACK,
                sources=tuple(one.sources),
            )
            for one in judged
        ]
        for source in (JudgmentSource.FEEDBACK, JudgmentSource.CLICKS):
            from_there = [label for label in labels if label.source == source]
            catalog.replace_judgments(connection, corpus.name, source, from_there)


def count_training_pairs(database: Database, corpus: str) -> int:
    """How many pairs could train at most: positive judgments, votes not judged yet, imported pairs."""
    with database.read() as connection:
        removed = removals.marks(connection, corpus)
        judged = catalog.judgments_of(connection, corpus, (Split.TRAIN, Split.DEV))
        votes = [v for v in catalog.votes(connection, corpus) if v.signal in _POSITIVE and removed.allow(v)]
        fixed = catalog.splits_of(connection, corpus, {query_key(v.query) for v in votes})
        imported = labelled_pairs.count(connection, corpus)
    known = {(query_key(j.query), j.document_id) for j in judged}
    pairs = {(query_key(j.query), j.document_id) for j in judged if j.grade > 0}
    for vote in votes:
        key = query_key(vote.query)
        if fixed.get(key) is not Split.GOLDEN and (key, vote.document_id) not in known:
            pairs.add((key, vote.document_id))
    return len(pairs) + imported


def contradiction(wanted: Split | None, fixed: Split) -> Conflict | None:
    """Why a line that wants a split cannot have it; None when it can."""
    if wanted is None or wanted is fixed:
        return None
    return Conflict(
        f"the split of this query was fixed as {fixed.value!r} at first sight, got {wanted.value!r}",
        field="split",
    )


def _check_target(given: GivenFeedback) -> None:
    """Each signal takes exactly what it is about."""
    named: Mapping[str, str | None] = {"document_id": given.document_id, "passage_id": given.passage_id}
    present = [name for name, value in named.items() if value is not None]
    signal = given.signal.value
    if given.signal is Signal.NONE_RELEVANT and present:
        raise InvalidInput(
            f"signal 'none_relevant' is about the whole answer: leave {present[0]} out", field=present[0]
        )
    if given.signal is Signal.CORRECT and present != ["document_id"]:
        raise InvalidInput(
            "signal 'correct' names the right document by document_id alone", field="document_id"
        )
    if given.signal is not Signal.NONE_RELEVANT and not present:
        raise InvalidInput(
            f"signal {signal!r} needs a document_id or a passage_id that was shown", field="document_id"
        )
    if len(present) == 2:
        raise InvalidInput("give document_id or passage_id, not both", field="passage_id")


def _judged(
    retrieval: Retrieval, signal: Signal, document_id: str | None, passage_id: str | None
) -> str | None:
    """The document that the signal is about. Raises InvalidInput when it was not shown."""
    if signal in (Signal.NONE_RELEVANT, Signal.CORRECT):
        return document_id
    for shown in retrieval.shown:
        if passage_id == shown.passage_id or (passage_id is None and document_id == shown.document_id):
            return shown.document_id
    field, value = ("document_id", document_id) if passage_id is None else ("passage_id", passage_id)
    raise InvalidInput(f"{field} {value!r} was not shown by retrieval {retrieval.retrieval_id}", field=field)


def _check_exists(connection: Connection, corpus: str, document_id: str) -> None:
    if document_id not in documents.live_revs(connection, corpus, [document_id]):
        raise InvalidInput(f"corpus {corpus!r} has no document {document_id!r}", field="document_id")


def _corpus_of(connection: Connection, retrieval_id: str) -> str | None:
    tag = retrieval_id.partition(".")[0][-_TAG_CHARS:]
    return next((c.name for c in corpora.every(connection) if _tag(c.name) == tag), None)


def _tag(corpus: str) -> str:
    return hashlib.blake2b(corpus.encode(), digest_size=_TAG_CHARS // 2).hexdigest()


def _mac(secret: str, body: str) -> str:
    digest = hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode()
