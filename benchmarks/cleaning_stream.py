"""A stream of events into a corpus by what the service does with each, and what is in the corpus at its end."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.cleaning_score import Detection, Share
from embedloop.catalog import corpora, documents
from embedloop.catalog.database import Database
from embedloop.corpus import delete_document, put_documents
from embedloop.duplicates import DuplicateFinder
from embedloop.errors import DocumentRejected
from embedloop.ingestion import prepare, pseudonym_key
from embedloop.policy import Policy
from embedloop.records.documents import NewDocument
from embedloop.text.cleaned import ContentType

CORPUS = "stream"

Event = Mapping[str, Any]


class Ingested:
    """Prepares, compares and stores one event after the other, and counts what was decided."""

    def __init__(self, database: Database, policy: Policy):
        self._database = database
        self._policy = policy
        self._finder = DuplicateFinder(database, CORPUS, policy.cleaning.similarity)
        self._key = pseudonym_key("benchmark")
        self._found: dict[tuple[str, str], Detection] = defaultdict(Detection)
        self._shares: dict[str, Share] = defaultdict(Share)
        self._reasons: Counter[str] = Counter()
        self._stored: dict[str, Event] = {}
        self._source_of: dict[str, str] = {}
        with database.write() as connection:
            corpora.add(connection, CORPUS, policy)

    def told_after(self, events: Sequence[Event]) -> dict[str, Any]:
        """Everything counted over the events, in their order."""
        begin = time.perf_counter()
        for event in events:
            self._source_of[event["_id"]] = event["source_id"]
            self._delete(event) if event["op"] == "delete" else self._upsert(event)
        seconds = time.perf_counter() - begin
        kinds = sorted({kind for _, kind in self._found})
        return {
            **{what: self._told(what, kinds) for what in ("duplicates", "rejects")},
            "rejects_by_reason": dict(self._reasons.most_common()),
            **{name: {"right": share.right, "of": share.of} for name, share in sorted(self._shares.items())},
            "corpus_at_the_end": self._at_the_end(),
            "events_per_second": round(len(events) / seconds, 1),
        }

    def _told(self, what: str, kinds: Sequence[str]) -> dict[str, Any]:
        total = Detection()
        for kind in kinds:
            total.join(self._found[what, kind])
        by_kind = {kind: self._found[what, kind].told() for kind in kinds if self._found[what, kind].seen}
        return total.told() | {"by_content_type": by_kind}

    def _delete(self, event: Event) -> None:
        delete_document(self._database, CORPUS, event["source_id"])
        with self._database.read() as connection:
            gone = event["source_id"] not in documents.live_ids(connection, CORPUS)
        self._shares["deletes_applied"].add(gone, 1)
        self._stored.pop(event["source_id"])

    def _upsert(self, event: Event) -> None:
        kind, is_reject = event["content_type"], event["quality"] == "reject"
        sent = NewDocument(event["source_id"], "", event["raw"])
        try:
            document = prepare(sent, ContentType(kind), self._policy, key=self._key).document
        except DocumentRejected as error:
            self._reasons[error.reason] += 1
            self._found["rejects", kind].add(True, is_reject)
            return
        self._found["rejects", kind].add(False, is_reject)
        self._store(event, document)

    def _store(self, event: Event, document: NewDocument) -> None:
        identity = document.document_id
        with self._database.read() as connection:
            live = documents.hashes(connection, CORPUS, [identity])
        [found] = self._finder.find([document], live, refuse=True)
        is_copy = event["dup_of"] is not None
        self._found["duplicates", event["content_type"]].add(found.refused, is_copy)
        if found.refused and found.duplicate is not None:
            original = self._source_of.get(event["dup_of"] or "")
            self._shares["duplicates_of_the_right_original"].add(found.duplicate.document_id == original, 1)
        else:
            [written] = put_documents(self._database, CORPUS, [document], self._finder.keys([identity]))
            self._stored[identity] = event
            if event.get("update_of"):
                self._shares["updates_applied"].add(written.changed and identity in live, 1)
        self._finder.forget()

    def _at_the_end(self) -> dict[str, Any]:
        """What the stored documents still hold of what should be gone, and of what should be there."""
        with self._database.read() as connection:
            texts = documents.get_many(connection, CORPUS, sorted(self._stored))
        left: dict[str, Share] = defaultdict(Share)
        for identity, event in self._stored.items():
            text = f"{texts[identity].title}\n{texts[identity].text}"
            left["boilerplate"].add(sum(one in text for one in event["boilerplate"]), len(event["boilerplate"]))
            left["must_keep"].add(sum(one in text for one in event["must_keep"]), len(event["must_keep"]))
            for one in event["pii"]:
                left[f"personal data: {one['type']}"].add(one["value"] in text, 1)
        counted = {name: {"left": share.right, "of": share.of} for name, share in sorted(left.items())}
        return {"documents": len(texts)} | counted
