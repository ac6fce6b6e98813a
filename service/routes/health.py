"""Health, readiness and metrics: the only routes without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import orjson
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from embedloop.errors import EmbedloopError
from service.openapi import RETRY_AFTER, answers
from service.outputs_health import HealthOut, ReadinessOut
from service.routing import Running
from service.state import Service

router = APIRouter(tags=["health"])

CHECK_SECONDS = 5.0
OK = "ok"
# A check that hangs keeps its thread until the adapter's own timeout.
_checkers = anyio.CapacityLimiter(16)


@router.get("/healthz", summary="Alive", responses=answers("Alive.", HealthOut))
async def health() -> dict[str, str]:
    """Answers as long as the process lives."""
    return {"status": OK}


@router.get(
    "/readyz",
    summary="Ready",
    responses=answers("Searches and writes can be answered.", ReadinessOut)
    | {503: {"description": "Something hinders.", "model": ReadinessOut, "headers": RETRY_AFTER}},
)
async def readiness(service: Running) -> Response:
    """200 when searches and writes can be answered, else 503 with what failed; and what Milvus can do."""
    capabilities: dict[str, Any] = {}

    def milvus() -> None:
        capabilities["milvus"] = service.index.capabilities().told()

    checks: dict[str, Callable[[], object]] = {
        "catalog": service.database.ping,
        "milvus": milvus,
        "broker": service.queue.ping,
    }
    found = await asyncio.gather(*(_checked(check) for check in checks.values()))
    told = dict(zip(checks, found, strict=True)) | {"encoder": _encoder(service)}
    if service.stopping.is_set():
        status = "stopping"
    else:
        status = "ready" if all(value == OK for value in told.values()) else "unready"
    headers = {} if status == "ready" else {"Retry-After": "1"}
    body = orjson.dumps({"status": status, "checks": told, "capabilities": capabilities})
    return Response(body, 200 if status == "ready" else 503, headers, "application/json")


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=PlainTextResponse,
    responses=answers("Prometheus' text format."),
)
async def metrics(service: Running) -> Response:
    """Everything that is counted, in Prometheus' text format."""
    body = await run_in_threadpool(service.metrics.exposition)
    return Response(body, media_type=CONTENT_TYPE_LATEST)


async def _checked(check: Callable[[], object]) -> str:
    try:
        with anyio.fail_after(CHECK_SECONDS):
            await anyio.to_thread.run_sync(check, limiter=_checkers, abandon_on_cancel=True)
    except EmbedloopError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    return OK


def _encoder(service: Service) -> str:
    """What hinders encoding or searching on this replica."""
    hindering = [fault for fault in (service.replica.fault, service.batcher.fault) if fault is not None]
    return "; ".join(hindering) or OK
