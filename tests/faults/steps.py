"""Carries out the light steps of a plan and keeps the dictionary level with what was acknowledged."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embedloop.client import Client
from embedloop.client.results import SearchResult
from embedloop.errors import EmbedloopError, NotFound
from tests.faults import record
from tests.faults.cluster import CORPUS, Cluster
from tests.faults.model import NUMBER, Content, Documents, Ledger, Moment, State
from tests.faults.oracle import Oracle
from tests.faults.plan import (
    SLOTS,
    Bulk,
    Delete,
    Judge,
    Light,
    Put,
    Read,
    Repeat,
    Search,
)
from tests.faults.record import Record

# More than there can be passages: such a search shows the whole corpus.
EVERYTHING = 1000
SESSION = "the driver"


@dataclass
class Steps:
    """The one writer of a run; each call goes to the other replica than the one before."""

    cluster: Cluster
    documents: Documents
    ledger: Ledger
    oracle: Oracle
    record: Record
    _turns: itertools.cycle[Client] = field(init=False)

    def __post_init__(self) -> None:
        self._turns = itertools.cycle(self.cluster.clients)

    def carry_out(self, step: Light) -> None:
        """One step; a call that fails because a part is down leaves its outcome in doubt."""
        self.record.note(str(step))
        match step:
            case Put(slot, content, applied):
                self.put(SLOTS[slot], content, applied=applied)
            case Repeat(slot):
                self.repeat(SLOTS[slot])
            case Delete(slot):
                self.delete(SLOTS[slot])
            case Bulk(lines):
                self.bulk([(SLOTS[slot], content) for slot, content in lines])
            case Read(slot):
                self.read(SLOTS[slot])
            case Search(query, top_k):
                self.search(query, top_k)
            case Judge(query, rank, signal):
                self.judge(query, rank, signal)

    def put(self, document_id: str, content: Content, *, applied: bool = False) -> None:
        state = self.documents.begin(document_id, content)
        if self._store(document_id, state, applied=applied) and applied:
            self._read_own_write(document_id, state)

    def repeat(self, document_id: str) -> None:
        state = self.documents.repeat(document_id)
        if state is not None:
            self._store(document_id, state, applied=False)

    def delete(self, document_id: str) -> None:
        state = self.documents.begin(document_id, None)
        try:
            next(self._turns).delete_document(CORPUS, document_id)
        except NotFound:
            self._missing(document_id, state)
        except EmbedloopError as error:
            self._doubt(f"delete {document_id!r}", error)
        else:
            self.documents.acknowledge(document_id, state)
            self.record.count("deletes")

    def bulk(self, lines: Sequence[tuple[str, Content | None]]) -> None:
        states = [self.documents.begin(document_id, content) for document_id, content in lines]
        sent = [_line(name, state) for (name, _), state in zip(lines, states, strict=True)]
        try:
            *answers, _ = next(self._turns).bulk_documents(CORPUS, sent)
        except EmbedloopError as error:
            self._doubt(f"bulk of {len(lines)}", error)
            return
        for (document_id, _), state, told in zip(lines, states, answers, strict=True):
            self._take_line(document_id, state, told)

    def read(self, document_id: str) -> None:
        """Reads one document; what is read ends every doubt about it."""
        try:
            found = next(self._turns).get_document(CORPUS, document_id)
        except NotFound:
            self._pin(document_id, None)
        except EmbedloopError as error:
            self.record.failed(f"read {document_id!r}", error)
        else:
            self._compare(document_id, found)

    def search(self, query: str, top_k: int, *, session: str | None = None) -> SearchResult | None:
        """Searches and judges the answer; None when there was none."""
        return ask(next(self._turns), self.documents, self.oracle, self.record, query, top_k, session)

    def judge(self, query: str, rank: int, signal: str) -> None:
        answer = self.search(query, 10)
        if answer is None or not answer.results:
            return
        hit = answer.results[rank % len(answer.results)]
        target = None if signal == "none_relevant" else hit.document_id
        try:
            given = next(self._turns).feedback(answer.retrieval_id, signal, target)
        except EmbedloopError as error:
            self._doubt(f"feedback on {answer.retrieval_id}", error)
        else:
            self.ledger.feedback.add(given["feedback_id"])
            self.record.count("feedback")

    def attack(self, document_ids: Sequence[str], chance: random.Random) -> None:
        """Deletes or replaces documents that a stopped worker is about to write."""
        for document_id in document_ids:
            self.record.note(f"attack {document_id!r}")
            if chance.random() < 0.5:
                self.delete(document_id)
            else:
                self.put(document_id, Content("", f"written behind a stopped worker {chance.random()}"))

    def _store(self, document_id: str, state: State, *, applied: bool) -> bool:
        assert state.content is not None
        try:
            next(self._turns).put_document(
                CORPUS,
                document_id,
                title=state.content.title,
                text=state.content.text,
                metadata={NUMBER: state.number},
                wait_applied=applied,
            )
        except EmbedloopError as error:
            self._doubt(f"put {document_id!r}", error)
            return False
        self.documents.acknowledge(document_id, state)
        self.record.count("writes")
        return True

    def _read_own_write(self, document_id: str, state: State) -> None:
        """A write that was told to be applied is in the next search of its session."""
        answer = self.search("a search for everything", EVERYTHING, session=SESSION)
        if answer is None or not answer.verified:
            return
        if all(h.document_id != document_id for h in answer.results):
            self.record.find(record.LOST_WRITE, f"{document_id!r}, write {state.number}, applied and not found")

    def _take_line(self, document_id: str, state: State, told: Mapping[str, Any]) -> None:
        status = told["status"]
        if status != "refused":
            self.documents.acknowledge(document_id, state)
            self.record.count("deletes" if status == "deleted" else "writes")
        elif told["error"]["code"] == NotFound.code:
            self._missing(document_id, state)
        else:
            self.record.count("bulk lines in doubt")
            self.record.note(f"bulk line {document_id!r}: {told['error']}")

    def _missing(self, document_id: str, state: State) -> None:
        before = self.documents.states(document_id)
        if not self.documents.missing(document_id, state):
            self.record.find(record.LOST_WRITE, f"{document_id!r} cannot be deleted, it was {before}")

    def _compare(self, document_id: str, found: Mapping[str, Any]) -> None:
        number = found["metadata"].get(NUMBER)
        self._pin(document_id, number)
        content = self.documents.content(document_id, number)
        if content is None or (found["title"], found["text"]) != (content.title, content.text):
            self.record.find(record.LOST_WRITE, f"{document_id!r} reads {found}, written was {content}")

    def _pin(self, document_id: str, number: int | None) -> None:
        before = self.documents.states(document_id)
        if not self.documents.pin(document_id, number):
            kind = record.LOST_WRITE if number is None or any(s.is_live for s in before) else record.DELETED
            self.record.find(kind, f"{document_id!r} reads as write {number}, possible were {before}")

    def _doubt(self, call: str, error: EmbedloopError) -> None:
        self.record.failed(call, error)
        if not error.retryable:
            self.record.find(record.REFUSED, f"{call}: {error.code}: {error.message}")


def ask(
    client: Client,
    documents: Documents,
    oracle: Oracle,
    known: Record,
    query: str,
    top_k: int,
    session: str | None = None,
) -> SearchResult | None:
    """One search, judged against the dictionary and the oracle; None when it failed."""
    moment = documents.moment()
    try:
        answer = client.search(CORPUS, query, top_k=top_k, session=session, explain=True)
    except EmbedloopError as error:
        known.failed(f"search {query!r}", error)
        if not error.retryable:
            known.find(record.REFUSED, f"search {query!r}: {error.code}: {error.message}")
        return None
    known.count("searches")
    _judge_freshness(moment, answer, known)
    for fault in oracle.faults(query, answer):
        known.find(record.MIXED, f"{answer.index_version}, {query!r}: {fault}")
    return answer


def _judge_freshness(moment: Moment, answer: SearchResult, known: Record) -> None:
    kinds = {"deleted": record.DELETED, "outdated": record.OUTDATED}
    for hit in answer.results:
        fault = moment.fault(hit.document_id, int(hit.metadata.get(NUMBER, 0)))
        if fault is None:
            continue
        if not answer.verified:
            # The catalog was away and the answer says so: what Milvus has may be behind.
            known.count(f"{fault} in answers marked unverified")
            continue
        what = f"{hit.document_id!r} of write {hit.metadata.get(NUMBER)}"
        known.find(kinds[fault], f"{what}, possible were {moment.possible.get(hit.document_id)}")


def _line(document_id: str, state: State) -> dict[str, Any]:
    if state.content is None:
        return {"id": document_id, "op": "delete"}
    content = {"title": state.content.title, "text": state.content.text}
    return {"id": document_id, **content, "metadata": {NUMBER: state.number}}
