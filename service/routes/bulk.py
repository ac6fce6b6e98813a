"""Bulk uploads of documents, NDJSON both ways."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from embedloop.corpus import Written
from embedloop.errors import DocumentRejected, EmbedloopError, InvalidInput, NotFound
from embedloop.ingestion import Prepared
from service.answers import account_out
from service.ingesting import Outcome, Upload
from service.ndjson import Line, NdjsonAnswer
from service.openapi import line_body, lines, refusals
from service.outputs_documents import DocumentAnswer, DocumentSummary
from service.routing import Running, StreamedRoute, Writer, keyed_router
from service.schemas import DocumentIn, DocumentLine
from service.state import Service
from service.validation import checked_document_id, validated
from service.waiting import until_applied

log = logging.getLogger(__name__)

router: APIRouter = keyed_router("documents", StreamedRoute)

Answer = dict[str, Any]


@router.post(
    "/corpora/{corpus}/documents:bulk",
    status_code=200,
    response_class=NdjsonAnswer,
    operation_id="bulk_documents",
    summary="Store and delete documents in bulk",
    openapi_extra=line_body(
        DocumentLine,
        [
            {"id": "gout", "title": "Gout", "text": "Gout is an inflammatory arthritis."},
            {"id": "flu", "op": "delete"},
        ],
    ),
    responses=lines(
        "One answer to each line, in their order, while the body still comes; then a summary.",
        DocumentAnswer,
        DocumentSummary,
        example=[
            {"line": 1, "id": "gout", "status": "stored", "seq": 17},
            {
                "line": 2,
                "status": "refused",
                "error": {
                    "code": "not_found",
                    "message": "corpus 'support' has no document 'flu'",
                    "field": "id",
                },
                "id": "flu",
            },
            {
                "summary": {
                    "lines": 2,
                    "stored": 1,
                    "unchanged": 0,
                    "deleted": 0,
                    "refused": 1,
                    "last_seq": 17,
                    "applied": False,
                    "dry_run": False,
                }
            },
        ],
    )
    | refusals(403, 404),
)
async def put_documents(
    corpus: str,
    request: Request,
    caller: Writer,
    service: Running,
    wait: Annotated[
        Literal["applied"] | None, Query(description="`applied`: end when searches see the last write.")
    ] = None,
    dry_run: Annotated[bool, Query(description="Answer what would happen, and store nothing.")] = False,
) -> Response:
    """Stores or deletes documents line by line; each line is answered by its number.

    A line that is refused changes nothing, and the others go on. `wait=applied` holds the summary back until
    searches see the last write. `cleaning` tells what was done to a document on its way in.
    """
    caller.require_corpus(corpus)
    upload = _Documents(await run_in_threadpool(partial(Upload, service, corpus, dry_run=dry_run)), dry_run)

    async def handle(lines: Sequence[Line]) -> list[Answer]:
        return await run_in_threadpool(upload.store, lines)

    async def summarise() -> Answer:
        waited = wait is not None and not dry_run
        return upload.summary(applied=waited and await _applied(service, corpus, upload.last))

    return NdjsonAnswer(request, handle, summarise, max_line_bytes=4 * service.settings.max_document_chars)


class _Documents:
    """One upload line by line: what was counted so far, and its last write."""

    def __init__(self, upload: Upload, dry_run: bool):
        self._upload = upload
        self._dry_run = dry_run
        self._counts: Counter[str] = Counter(lines=0, stored=0, unchanged=0, deleted=0, refused=0)
        self.last: Written | None = None

    def store(self, lines: Sequence[Line]) -> list[Answer]:
        """Stores a chunk in the order of its lines: neighbouring puts together, each delete alone."""
        answers: dict[int, Answer] = {}
        puts: list[tuple[Line, Prepared]] = []
        for line in lines:
            try:
                if line.error is not None or line.value is None:
                    raise line.error or InvalidInput("a line must be an object")
                op = line.value.get("op", "upsert")
                if op == "delete":
                    self._put(puts, answers)
                    self._delete(line, line.value, answers)
                elif op == "upsert":
                    puts.append((line, self._prepared(line.value)))
                else:
                    raise InvalidInput(f"op must be 'upsert' or 'delete', got {op!r:.80}", field="op")
            except DocumentRejected as error:
                rejection = {"code": error.reason, "detail": error.detail}
                answers[line.number] = line.refused(error) | {"cleaning": {"rejection": rejection}}
            except EmbedloopError as error:
                answers[line.number] = line.refused(error)
        self._put(puts, answers)
        ordered = [answers[line.number] for line in lines]
        _count(self._counts, ordered)
        return ordered

    def summary(self, *, applied: bool) -> Answer:
        last = self.last.seq if self.last else None
        return dict(self._counts) | {"last_seq": last, "applied": applied, "dry_run": self._dry_run}

    def _prepared(self, value: Mapping[str, Any]) -> Prepared:
        document_id = checked_document_id(value.get("id"), "id")
        body = validated(DocumentIn, {k: v for k, v in value.items() if k not in ("id", "op")})
        return self._upload.prepared(document_id, body)

    def _put(self, puts: list[tuple[Line, Prepared]], answers: dict[int, Answer]) -> None:
        if not puts:
            return
        try:
            outcomes = self._upload.put([prepared for _, prepared in puts])
        except EmbedloopError as error:
            answers.update({line.number: line.refused(error) for line, _ in puts})
        else:
            for (line, _), outcome in zip(puts, outcomes, strict=True):
                answers[line.number] = self._answer(line, outcome)
        puts.clear()

    def _answer(self, line: Line, outcome: Outcome) -> Answer:
        told = account_out(outcome.account, outcome.duplicate)
        if outcome.error is not None:
            return line.refused(outcome.error) | told
        status = "stored" if outcome.changed else "unchanged"
        return self._done(line, outcome.document_id, status, outcome.written) | told

    def _delete(self, line: Line, value: Mapping[str, Any], answers: dict[int, Answer]) -> None:
        for unknown in sorted(set(value) - {"id", "op"}):
            raise InvalidInput(f"a delete takes an id alone, got {unknown!r:.80}", field=unknown)
        document_id = checked_document_id(value.get("id"), "id")
        try:
            written = self._upload.delete(document_id)
        except NotFound as error:
            error.field = "id"
            raise
        answers[line.number] = self._done(line, document_id, "deleted", written)

    def _done(self, line: Line, document_id: str, status: str, written: Written | None) -> Answer:
        told = {"line": line.number, "id": document_id, "status": status}
        if written is None:
            return told
        if self.last is None or written.seq >= self.last.seq:
            self.last = written
        return told | {"seq": written.seq}


async def _applied(service: Service, corpus: str, last: Written | None) -> bool:
    if last is None:
        return True
    try:
        await until_applied(service, corpus, [last])
    except EmbedloopError as error:
        log.warning("a bulk upload to %s was stored and not seen applied: %s", corpus, error)
        return False
    return True


def _count(counts: Counter[str], answers: Sequence[Answer]) -> None:
    counts.update(lines=len(answers))
    counts.update(answer["status"] for answer in answers)
