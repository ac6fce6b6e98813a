"""Takes a person's or a document's data out of all future training, and tells which model versions saw it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from embedloop.catalog import documents as documents_in_sql
from embedloop.catalog import forgetting, lineage, removals
from embedloop.catalog.database import Database, now
from embedloop.corpus import content_hash
from embedloop.errors import NotFound
from embedloop.lineage import SourceKind
from embedloop.records.documents import Document
from embedloop.records.training import Removal
from embedloop.removed import marks_of, person_mark
from embedloop.slices import slices
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import text_key
from embedloop.text.redact import redact

# Replicas hand their spools over within seconds; a catalog or a replica that was away needs longer.
SETTLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was trained on removed data before: training sets, and the model versions made of them."""

    training_sets: Sequence[str]
    model_versions: Sequence[str]


def forget_person(
    database: Database, session: str, *, key_id: str | None = None, corpus: str | None = None
) -> Removal:
    """Removes a person's feedback, searches, and the judgments made of them; what comes later never trains.

    The mark is stored first: a cycle that begins meanwhile leaves the person out already, and `settle`
    completes what a process that died had begun.

    Args:
        database: The catalog.
        session: The session that the person searches under.
        key_id: Only where it came with this key; None with any.
        corpus: Only in this corpus; None in all.
    """
    mark = person_mark(session, key_id)
    removal = _removal(removals.PERSON, corpus, mark)
    with database.write() as connection:
        removals.begin(connection, removal, [(removals.PERSON, mark)])
    _clear(database, removal)
    return find(database, removal.removal_id)


def forget_document(database: Database, corpus: str, document_id: str) -> Removal:
    """Removes every label on a document; it and copies of its content never train again, and stay searchable.

    A copy has the same title, text and metadata under another id, or is an imported text equal to the
    document's, its passage's or its title.
    """
    removal = _removal(removals.DOCUMENT, corpus, document_id)
    with database.write() as connection:
        document = documents_in_sql.get_many(connection, corpus, [document_id]).get(document_id)
        marks = [(removals.DOCUMENT, document_id), *(_content_marks(document) if document else ())]
        removals.begin(connection, removal, marks)
    _clear(database, removal)
    return find(database, removal.removal_id)


def settle(database: Database, *, after_seconds: float = SETTLE_SECONDS) -> list[str]:
    """Looks again after removals that were asked for a while ago: nothing of what they name may be left.

    It completes what a process that died had begun, and takes what was on its way to the catalog: searches in
    the spool of a replica, feedback that waited for them.

    Returns:
        Ids of the removals that are settled now.
    """
    with database.read() as connection:
        waiting = removals.unsettled(connection, now() - timedelta(seconds=after_seconds))
    for removal in waiting:
        _clear(database, removal)
        with database.write() as connection:
            removals.settle(connection, removal)
    return [removal.removal_id for removal in waiting]


def find(database: Database, removal_id: str) -> Removal:
    """Raises NotFound."""
    with database.read() as connection:
        known = removals.get(connection, removal_id)
    if known is None:
        raise NotFound(f"there is no removal {removal_id!r}", field="removal_id")
    return known


def seen_by(connection: Connection, removal: Removal) -> Seen:
    """What was trained on it before, however much later that is asked."""
    marks = removals.marks_of(connection, removal.removal_id)
    persons = [mark for kind, mark in marks if kind == removals.PERSON]
    named = [mark for kind, mark in marks if kind == removals.DOCUMENT]
    named += [f"text:{mark}" for kind, mark in marks if kind == removals.TEXT]
    sets = {
        *lineage.sets_with(connection, [SourceKind.PERSON], persons, removal.corpus),
        *lineage.sets_with(connection, [SourceKind.DOCUMENT, SourceKind.NEGATIVE], named, removal.corpus),
    }
    trained = lineage.models_of(connection, sets)
    return Seen(sorted(sets), [model for one in sorted(sets) for model in trained.get(one, ())])


def _content_marks(document: Document) -> list[tuple[str, str]]:
    whole = embedding_text(document.title, document.text)
    texts = {whole, document.text, document.title, redact(whole).text, redact(document.text).text}
    digest = content_hash(document.title, document.text, document.metadata)
    marks = [(removals.TEXT, text_key(text)) for text in sorted(texts) if text.strip()]
    return [*marks, (removals.CONTENT, digest)]


def _removal(kind: str, corpus: str | None, subject: str) -> Removal:
    """The same subject has the same id, so that removing it again is the same removal."""
    digest = hashlib.blake2b(json.dumps([kind, corpus, subject]).encode(), digest_size=12).hexdigest()
    moment = now()
    return Removal(f"rm-{digest}", kind, corpus, {}, moment, moment)


def _clear(database: Database, removal: Removal) -> None:
    """Deletes what the marks of a removal name, in short transactions; again is harmless."""
    with database.read() as connection:
        marks = removals.marks_of(connection, removal.removal_id)
    if removal.kind == removals.PERSON:
        _clear_persons(database, removal, {mark for kind, mark in marks if kind == removals.PERSON})
    else:
        _clear_document(database, removal, marks)


def _clear_persons(database: Database, removal: Removal, marks: Collection[str]) -> None:
    with database.read() as connection:
        known = forgetting.persons(connection, removal.corpus)
        who = sorted(person for person in known if not set(marks).isdisjoint(marks_of(person)))
        given = forgetting.feedback_of(connection, who, removal.corpus)
        searched = forgetting.retrievals_of(connection, who, removal.corpus)
    _in_parts(database, removal, given, forgetting.forget_feedback)
    # After the judgments, without which the text of a query may go.
    _in_parts(database, removal, searched, forgetting.forget_retrievals)


def _clear_document(database: Database, removal: Removal, marks: Sequence[tuple[str, str]]) -> None:
    corpus = str(removal.corpus)
    (document_id,) = (mark for kind, mark in marks if kind == removals.DOCUMENT)
    texts = [mark for kind, mark in marks if kind == removals.TEXT]
    with database.write() as connection:
        labels = forgetting.delete_judgments_on(connection, corpus, document_id)
        pairs = forgetting.delete_texts(connection, corpus, texts)
        removals.count(connection, removal.removal_id, {"judgments": labels, "pairs": pairs})
        given = forgetting.feedback_on(connection, corpus, document_id)
    _in_parts(database, removal, given, forgetting.forget_feedback)


def _in_parts(
    database: Database,
    removal: Removal,
    ids: Sequence[str],
    work: Callable[[Connection, Sequence[str]], Mapping[str, int]],
) -> None:
    """One transaction for each part and its count."""
    for part in slices(ids, forgetting.ROWS_PER_STATEMENT):
        with database.write() as connection:
            removals.count(connection, removal.removal_id, work(connection, part))
