"""One search from request to logged answer; tried once more, wholly, if its collection has gone."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from embedloop.catalog.database import now
from embedloop.errors import CollectionNotFound, DeadlineExceeded, EmbedloopError
from embedloop.feedback import mint_retrieval_id
from embedloop.filters import expression
from embedloop.records.feedback import Retrieval, Shown
from embedloop.serving import Serving
from embedloop.text.redact import redact
from service.queries import Answer, Query
from service.schemas import SearchIn
from service.state import Service
from service.validation import parsed_filter


class CallerGone(Exception):
    """Nobody waits for the answer any more."""


async def search(
    service: Service, corpus: str, body: SearchIn, *, key_id: str, request: Request
) -> dict[str, Any]:
    """Answers a query, and logs what it showed before the answer leaves.

    Raises:
        CallerGone: the connection was closed meanwhile.
        DeadlineExceeded: no answer within `search_timeout_seconds`.
    """
    tree = None if body.filter is None else parsed_filter(body.filter)
    filter_expression = "" if tree is None else expression(tree)

    async def once() -> Answer:
        # Taken once: whatever is promoted meanwhile, this answer is of one version.
        serving = await serving_of(service, corpus)
        strong = body.session is not None
        query = Query(serving, body.query, body.top_k, filter_expression, strong)
        return await _answer(service, query, request)

    try:
        answer = await once()
    except CollectionNotFound:
        await run_in_threadpool(service.replica.refresh, corpus)
        answer = await once()
    retrieval = _retrieval(service, answer, body, key_id)
    service.spool.append(retrieval)
    return _told(answer, retrieval.retrieval_id, explain=body.explain)


async def serving_of(service: Service, corpus: str) -> Serving:
    """The serving of this moment; a corpus seen for the first time is looked up off the event loop."""
    if corpus not in service.seen_corpora:
        serving = await run_in_threadpool(service.replica.serving, corpus)
        service.seen_corpora.add(corpus)
        return serving
    try:
        return service.replica.serving(corpus)
    except EmbedloopError:
        service.seen_corpora.discard(corpus)
        raise


async def _answer(service: Service, query: Query, request: Request) -> Answer:
    answer = asyncio.wrap_future(service.batcher.submit(query))
    gone = asyncio.ensure_future(request.receive())
    waited_for: set[asyncio.Future[Any]] = {answer, gone}
    try:
        await asyncio.wait(
            waited_for,
            timeout=service.settings.search_timeout_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if answer.done():
            return answer.result()
        if gone.done():
            raise CallerGone
        raise DeadlineExceeded(
            f"no answer within {service.settings.search_timeout_seconds:g} s", retry_after_seconds=1
        )
    finally:
        gone.cancel()
        # The stages skip a query whose future was cancelled.
        answer.cancel()


def _retrieval(service: Service, answer: Answer, body: SearchIn, key_id: str) -> Retrieval:
    serving = answer.serving
    return Retrieval(
        retrieval_id=mint_retrieval_id(service.secret, serving.corpus),
        corpus=serving.corpus,
        query=redact(body.query).text,
        person=f"{key_id}/{body.session or ''}",
        index_version_id=serving.version.index_version_id,
        model_id=serving.model.model_id,
        shown=[
            Shown(rank, hit.passage.document_id, hit.passage.passage_id, hit.score)
            for rank, hit in enumerate(answer.hits, 1)
        ],
        at=now(),
    )


def _told(answer: Answer, retrieval_id: str, *, explain: bool) -> dict[str, Any]:
    results: list[dict[str, Any]] = [
        {
            "rank": rank,
            "score": hit.score,
            "passage_id": hit.passage.passage_id,
            "document_id": hit.passage.document_id,
            "title": hit.passage.title,
            "text": hit.passage.text,
            "metadata": hit.passage.metadata,
        }
        for rank, hit in enumerate(answer.hits, 1)
    ]
    if explain:
        for result, hit, cosine in zip(results, answer.hits, answer.cosines, strict=True):
            result["explain"] = {
                "cosine": cosine,
                "boost": hit.score / cosine if cosine else 1.0,
                "rev": hit.passage.rev,
                "ordinal": hit.passage.ordinal,
            }
    for result, score in zip(results, answer.rerank_scores, strict=False):
        result["rerank_score"] = score
    told: dict[str, Any] = {
        "retrieval_id": retrieval_id,
        "index_version": answer.serving.version.index_version_id,
        "model_version": answer.serving.model.model_id,
        "verified": answer.verified,
        "results": results,
        "took_ms": answer.took_ms,
    }
    if (reranking := answer.serving.reranking) is not None:
        told["reranker"] = {"model_version": reranking.model_id, "reranked": len(answer.rerank_scores)}
    return told
