"""Search."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response

from service.openapi import answers, refusals
from service.outputs import SearchOut
from service.routing import Handler, KeyedRoute, Reader, Running, keyed_router, read_body
from service.schemas import SearchIn
from service.searching import CallerGone, search
from service.state import Service, caller_of, service_of

CLIENT_CLOSED_REQUEST = 499


class SearchRoute(KeyedRoute):
    """Past saturation most searches are refused: that must cost next to nothing, and an answer little more.

    The endpoint's signature describes the route; its parameters are found here, faster than FastAPI finds them.
    """

    def check_room(self, service: Service) -> None:
        service.batcher.check_room()

    def handler(self) -> Handler:
        return _handle


async def _handle(request: Request) -> Response:
    caller = caller_of(request)
    caller.require_role("reader")
    body = await read_body(request, SearchIn)
    return await search_corpus(request.path_params["corpus"], body, request, caller, service_of(request))


router: APIRouter = keyed_router("search", SearchRoute)


@router.post(
    "/corpora/{corpus}/search",
    summary="Search a corpus",
    responses=answers("Passages, the nearest first.", SearchOut) | refusals(404, 413, 429, 504),
)
async def search_corpus(
    corpus: str,
    body: SearchIn,
    request: Request,
    caller: Reader,
    service: Running,
) -> Response:
    """The passages nearest to a query, all of one index version, each live by the catalog.

    One document may appear with several passages. `score` is the cosine times the boosts, greater is nearer;
    with `policy.index.bm25` it is the score of the fused ranks instead of the cosine.
    """
    caller.require_corpus(corpus)
    try:
        answer = await search(service, corpus, body, key_id=caller.key.key_id, request=request)
    except CallerGone:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return Response(orjson.dumps(answer), media_type="application/json")
