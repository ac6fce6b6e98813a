"""Feedback on retrievals."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Response

from embedloop.errors import Unavailable
from embedloop.feedback import (
    AcceptedFeedback,
    GivenFeedback,
    accept_feedback,
    is_logged,
    store_feedback,
    take_back,
)
from service.openapi import answers, refusals
from service.outputs import FeedbackOut
from service.routing import Reader, Running, keyed_router
from service.schemas import FeedbackIn
from service.state import Service

log = logging.getLogger(__name__)

router: APIRouter = keyed_router("feedback")


@router.post(
    "/feedback",
    status_code=201,
    summary="Give feedback",
    responses=answers("It is stored.", FeedbackOut, status=201) | refusals(404, 409, 413),
)
def add_feedback(body: FeedbackIn, caller: Reader, service: Running) -> dict[str, Any]:
    """Stores a thumb, a click or a correction; `pending` until it and its retrieval are in the catalog."""
    accepted = accept_feedback(
        service.secret,
        GivenFeedback(body.retrieval_id, body.signal, body.document_id, body.passage_id, body.comment),
        person=f"{caller.key.key_id}/",
        visible=caller.corpora,
    )
    pending = _store(service, accepted)
    service.metrics.feedback.labels(body.signal.value).inc()
    return {"feedback_id": accepted.feedback_id, "status": "pending" if pending else "stored"}


def _store(service: Service, accepted: AcceptedFeedback) -> bool:
    """Whether it is pending; while the catalog is away it is spooled beside the retrieval log."""
    try:
        if not is_logged(service.database, accepted.given.retrieval_id):
            service.spool.flush_now()
        return store_feedback(service.database, accepted).pending
    except Unavailable as error:
        log.warning("feedback %s is spooled: %s", accepted.feedback_id, error)
        service.spool.append(accepted)
        return True


@router.delete(
    "/feedback/{feedback_id}",
    status_code=204,
    summary="Take feedback back",
    responses=answers("It is gone.", status=204) | refusals(404, 409),
)
def delete_feedback(feedback_id: str, caller: Reader, service: Running) -> Response:
    """Takes feedback back; judgments made of it go with the next aggregation."""
    take_back(service.database, feedback_id, visible=caller.corpora)
    return Response(status_code=204)
