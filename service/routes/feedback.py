"""Feedback on retrievals."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from embedloop.feedback import GivenFeedback, check_retrieval_id, give_feedback, is_logged, take_back
from service.openapi import answers, refusals
from service.outputs import FeedbackOut
from service.routing import Reader, Running, keyed_router
from service.schemas import FeedbackIn

router: APIRouter = keyed_router("feedback")


@router.post(
    "/feedback",
    status_code=201,
    summary="Give feedback",
    responses=answers("It is stored.", FeedbackOut, status=201) | refusals(404, 409, 413),
)
def add_feedback(body: FeedbackIn, caller: Reader, service: Running) -> dict[str, Any]:
    """Stores a thumb, a click or a correction; `pending` until the retrieval has reached the catalog."""
    check_retrieval_id(service.secret, body.retrieval_id)
    if not is_logged(service.database, body.retrieval_id):
        service.spool.flush_now()
    stored = give_feedback(
        service.database,
        service.secret,
        GivenFeedback(body.retrieval_id, body.signal, body.document_id, body.passage_id, body.comment),
        person=f"{caller.key.key_id}/",
        visible=caller.corpora,
    )
    service.metrics.feedback.labels(stored.signal.value).inc()
    return {"feedback_id": stored.feedback_id, "status": "pending" if stored.pending else "stored"}


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
