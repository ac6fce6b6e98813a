"""Documents: put, get, delete."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from embedloop.corpus import Written, get_document
from service.answers import account_out, document_out
from service.ingesting import Outcome, Upload
from service.openapi import answers, refusals
from service.outputs_documents import DocumentOut, WrittenOut
from service.routing import Reader, Running, Writer, keyed_router
from service.schemas import DocumentIn
from service.state import Service
from service.validation import checked_document_id
from service.waiting import until_applied
from service.writing import delete, require_corpus

router: APIRouter = keyed_router("documents")

Wait = Annotated[Literal["applied"] | None, Query(description="`applied`: answer when searches see it.")]


@router.put(
    "/corpora/{corpus}/documents/{document_id:path}",
    summary="Store a document",
    responses=answers("The write is acknowledged.", WrittenOut) | refusals(403, 404, 409, 413, 504),
)
async def put_document(
    corpus: str,
    document_id: str,
    body: DocumentIn,
    caller: Writer,
    service: Running,
    wait: Wait = None,
) -> dict[str, Any]:
    """Stores a document; answering means that it is never lost. `wait=applied`: and that searches find it.

    HTML, mail and Markdown are cleaned as the corpus' policy says; `cleaning` tells what was done.
    """
    caller.require_corpus(corpus)
    outcome = await run_in_threadpool(_put, service, corpus, checked_document_id(document_id), body)
    if outcome.error is not None:
        raise outcome.error
    return await _told(service, corpus, outcome.written, wait) | account_out(outcome.account, outcome.duplicate)


def _put(service: Service, corpus: str, document_id: str, body: DocumentIn) -> Outcome:
    upload = Upload(service, corpus)
    [outcome] = upload.put([upload.prepared(document_id, body)])
    return outcome


@router.get(
    "/corpora/{corpus}/documents/{document_id:path}",
    operation_id="get_document",
    summary="Read a document",
    responses=answers("The document as it was stored.", DocumentOut) | refusals(404),
)
def read_document(
    corpus: str,
    document_id: str,
    caller: Reader,
    service: Running,
) -> dict[str, Any]:
    """The live document, with the number of the change that wrote it."""
    caller.require_corpus(corpus)
    require_corpus(service, corpus)
    return document_out(get_document(service.database, corpus, checked_document_id(document_id)))


@router.delete(
    "/corpora/{corpus}/documents/{document_id:path}",
    summary="Delete a document",
    responses=answers("The delete is acknowledged.", WrittenOut) | refusals(403, 404, 409, 504),
)
async def delete_document(
    corpus: str,
    document_id: str,
    caller: Writer,
    service: Running,
    wait: Wait = None,
) -> dict[str, Any]:
    """Deletes a document; from now on no answer shows it."""
    caller.require_corpus(corpus)
    await run_in_threadpool(require_corpus, service, corpus)
    written = await run_in_threadpool(delete, service, corpus, checked_document_id(document_id))
    return await _told(service, corpus, written, wait)


async def _told(service: Service, corpus: str, written: Written | None, wait: Wait) -> dict[str, Any]:
    if written is None:
        raise ValueError("a write outside of a dry run has a place in the log")
    if wait is not None:
        await until_applied(service, corpus, [written])
    return asdict(written) | {"applied": wait is not None}
