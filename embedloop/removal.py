"""Takes a person's or a document's data out of all future training, and tells which model versions saw it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from embedloop.catalog import documents as documents_in_sql
from embedloop.catalog import forgetting, lineage, removals
from embedloop.catalog.database import Database, now
from embedloop.corpus import content_hash
from embedloop.errors import NotFound
from embedloop.lineage import SourceKind
from embedloop.records import Document, Removal
from embedloop.removed import marks_of, person_mark
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import text_key
from embedloop.text.redact import redact

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was trained on removed data before: training sets, and the model versions made of them."""

    training_sets: Sequence[str]
    model_versions: Sequence[str]


def forget_person(
    database: Database, session: str, *, key_id: str | None = None, corpus: str | None = None
) -> Removal:
    """Removes a person's feedback, searches, and the judgments made of them; what comes later never trains.

    The mark is stored first: a cycle that begins meanwhile leaves the person out already, and an attempt that
    broke off is completed by the next.

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
    with database.read() as connection:
        who = sorted(one for one in forgetting.persons(connection, corpus) if mark in marks_of(one))
        given = forgetting.feedback_of(connection, who, corpus)
        searched = forgetting.retrievals_of(connection, who, corpus)
        judged = forgetting.judgments_from(connection, given, corpus)
        asked = sorted(forgetting.asked(connection, searched))
    counts = Counter(
        judgments=_in_parts(database, judged, forgetting.delete_judgments),
        feedback=_in_parts(database, given, forgetting.delete_feedback),
        retrievals=_in_parts(database, searched, forgetting.delete_retrievals),
        queries=_in_parts(database, asked, forgetting.blank_queries),
    )
    return _finish(database, removal, counts)


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
        marked = removals.marks_of(connection, removal.removal_id)
        labels = forgetting.delete_judgments_on(connection, corpus, document_id)
        texts = [mark for kind, mark in marked if kind == removals.TEXT]
        pairs = forgetting.delete_texts(connection, corpus, texts)
        given = forgetting.feedback_on(connection, corpus, document_id)
    removed = Counter(judgments=labels, pairs=pairs)
    removed["feedback"] = _in_parts(database, given, forgetting.delete_feedback)
    return _finish(database, removal, removed)


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


def _in_parts(database: Database, values: Sequence[T], work: Callable[[Connection, Sequence[T]], int]) -> int:
    done = 0
    for part in forgetting.parts(values):
        with database.write() as connection:
            done += work(connection, part)
    return done


def _finish(database: Database, removal: Removal, removed: Counter[str]) -> Removal:
    with database.write() as connection:
        removals.count(connection, removal.removal_id, removed)
    return find(database, removal.removal_id)
