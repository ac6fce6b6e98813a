"""Index versions: list, compare, promote, roll back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
from fastapi import APIRouter

from embedloop.catalog import corpora, differences, documents, index_versions
from embedloop.errors import NotFound
from embedloop.promotion import promote, rollback
from embedloop.records.documents import Corpus
from service.answers import difference_out, index_version_out
from service.openapi import answers, refusals
from service.outputs import DifferenceOut, IndexVersionList, Moved
from service.routing import Admin, Reader, Running, keyed_router
from service.schemas import Id, PromoteIn

router: APIRouter = keyed_router("index versions")

# A promotion waits for all replicas: it must not take the threads of other requests.
_promotions = anyio.CapacityLimiter(8)


@router.get(
    "/corpora/{corpus}/index-versions",
    summary="List index versions",
    responses=answers("Index versions.", IndexVersionList) | refusals(404),
)
def list_index_versions(corpus: str, caller: Reader, service: Running) -> dict[str, Any]:
    """A corpus' index versions, the newest first."""
    caller.require_corpus(corpus)
    with service.database.read() as connection:
        corpora.get(connection, corpus)
        found = index_versions.of_corpus(connection, corpus)
        return {"items": [index_version_out(connection, version) for version in found]}


@router.get(
    "/corpora/{corpus}/index-versions/{index_version}/difference",
    summary="Compare a candidate's answers",
    responses=answers("Answers before and after.", DifferenceOut) | refusals(403, 404),
)
def read_difference(corpus: str, index_version: Id, caller: Admin, service: Running) -> dict[str, Any]:
    """Answers of an index version beside those of the one that served when it was built.

    It needs an admin's key, for it shows what others searched for.
    """
    caller.require_corpus(corpus)
    with service.database.read() as connection:
        corpora.get(connection, corpus)
        if index_versions.get(connection, index_version).corpus != corpus:
            raise NotFound(f"there is no index version {index_version!r}", field="index_version")
        found = differences.get(connection, index_version)
        shown = {
            one["document_id"]
            for query in found.report["queries"]
            for one in (*query["before"], *query["after"])
        }
        return difference_out(found, documents.get_many(connection, corpus, sorted(shown)))


@router.post(
    "/corpora/{corpus}/promote",
    summary="Promote an index version",
    responses=answers("What serves now.", Moved)
    | refusals(403, 404, 413, 504, _409="It may not serve, or serves already; the problem tells why."),
)
async def promote_index_version(
    corpus: str,
    body: PromoteIn,
    caller: Admin,
    service: Running,
) -> dict[str, Any]:
    """Makes an index version the serving one, in every replica, if it is verified and the gate allows it."""
    caller.require_corpus(corpus)

    def move() -> Corpus:
        with service.database.read() as connection:
            corpora.get(connection, corpus)
            if index_versions.get(connection, body.index_version).corpus != corpus:
                raise NotFound(f"there is no index version {body.index_version!r}", field="index_version")
        return promote(
            service.database,
            service.index,
            corpus,
            body.index_version,
            actor=caller.key.key_id,
            timeout_seconds=service.settings.promotion_timeout_seconds,
        )

    return await _moved(move)


@router.post(
    "/corpora/{corpus}/rollback",
    summary="Roll back",
    responses=answers("What serves now.", Moved)
    | refusals(403, 404, 504, _409="There is nothing to return to."),
)
async def roll_back(corpus: str, caller: Admin, service: Running) -> dict[str, Any]:
    """Returns to the index version that served before; it has followed every write, so none is lost."""
    caller.require_corpus(corpus)
    return await _moved(
        partial(
            rollback,
            service.database,
            service.index,
            corpus,
            actor=caller.key.key_id,
            timeout_seconds=service.settings.promotion_timeout_seconds,
        )
    )


async def _moved(move: Callable[[], Corpus]) -> dict[str, Any]:
    corpus = await anyio.to_thread.run_sync(move, limiter=_promotions)
    return {"corpus": corpus.name, "serving": corpus.serving, "previous": corpus.previous}
