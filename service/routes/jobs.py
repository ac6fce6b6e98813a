"""Jobs: submit, list, read, pause, resume, cancel, approve, reject, follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from embedloop import jobs
from embedloop.approval import decide
from embedloop.catalog import corpora, models
from embedloop.catalog import jobs as job_rows
from embedloop.errors import InvalidInput, NotFound, TooLittleFeedback, Unavailable
from embedloop.feedback import count_training_pairs
from embedloop.orders import Order, give
from embedloop.policy import Policy
from embedloop.queue import deliver
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.registry import CROSS_ENCODER
from service.answers import job_out
from service.job_schemas import PARAMS_OF_KIND, ApproveIn, JobIn, RejectIn
from service.openapi import answers, refusals
from service.outputs import JobEvent, JobList, JobOut
from service.problems import invalid_input
from service.routing import Admin, Reader, Running, keyed_router
from service.schemas import NAME_PATTERN, Id
from service.state import Service

router: APIRouter = keyed_router("jobs")

EVENT_SECONDS = 0.5
IDEMPOTENCY_PATTERN = r"^[ -~]{1,160}$"


@router.post(
    "/jobs",
    status_code=202,
    summary="Submit a job",
    responses=answers("The job, queued.", JobOut, status=202)
    | refusals(403, 404, 413, _409="Another job is at work on the corpus, or there is too little feedback."),
)
def submit_job(
    body: JobIn,
    caller: Admin,
    service: Running,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=IDEMPOTENCY_PATTERN,
            description="Sent again, it is answered with the job that it made; no other request may have it.",
            examples=["nightly-2026-05-04"],
        ),
    ] = None,
) -> dict[str, Any]:
    """Submits a job; with an Idempotency-Key seen before, answers with the job that it made."""
    caller.require_corpus(body.corpus)
    params = _params(body, service)
    scoped = None if idempotency_key is None else f"{caller.key.key_id}:{idempotency_key}"
    _check_possible(service, body, params, scoped)
    with service.database.write() as connection:
        # Locked, so that of two equal requests at once the second finds the job of the first.
        corpora.get(connection, body.corpus, lock=True)
        job, letters = jobs.submit(connection, body.kind, body.corpus, params, scoped)
    deliver(service.database, service.queue, letters)
    return job_out(job)


@router.get(
    "/jobs",
    summary="List jobs",
    responses=answers("One page of jobs.", JobList) | refusals(404),
)
def list_jobs(
    caller: Reader,
    service: Running,
    corpus: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only jobs of this corpus.")] = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="How many at most.")] = 50,
    before: Annotated[Id | None, Query(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """Jobs, the newest first."""
    wanted = caller.corpora if corpus is None else [caller.require_corpus(corpus)]
    with service.database.read() as connection:
        found = job_rows.find(connection, corpora=wanted, state=state, before=before, limit=limit + 1)
    told: dict[str, Any] = {"items": [job_out(job) for job in found[:limit]]}
    return told | ({"next": found[limit - 1].job_id} if len(found) > limit else {})


def visible_job(job_id: str, caller: Reader, service: Running) -> Job:
    """The job in the path. Raises NotFound, also when the key may not see its corpus."""
    with service.database.read() as connection:
        job = job_rows.get(connection, job_id)
    if caller.corpora is not None and job.corpus not in caller.corpora:
        raise NotFound(f"there is no job {job_id!r}", field="job_id")
    return job


@router.get(
    "/jobs/{job_id}",
    summary="Read a job",
    responses=answers("The job.", JobOut) | refusals(404),
)
def get_job(job: Annotated[Job, Depends(visible_job)]) -> dict[str, Any]:
    """The job with its progress, and how it ended once it has."""
    return job_out(job)


VisibleJob = Annotated[Job, Depends(visible_job)]
_ENDED = "The job has ended, is being cancelled, or waits for approval."
_NOT_ASKED = "The job waits for no decision, or its candidate serves already."


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job",
    responses=answers("The job; its workers stop within about a second.", JobOut, status=202)
    | refusals(403, 404, 409),
)
def cancel_job(job: VisibleJob, caller: Admin, service: Running) -> dict[str, Any]:
    """Asks a job to end; one that has ended already stays as it is."""
    return _ordered(service, job, Order.CANCEL)


@router.post(
    "/jobs/{job_id}/pause",
    status_code=202,
    summary="Pause a job",
    responses=answers("The job, paused; its workers stop within about a second.", JobOut, status=202)
    | refusals(403, 404, _409=_ENDED),
)
def pause_job(job: VisibleJob, caller: Admin, service: Running) -> dict[str, Any]:
    """Lets a job rest where it is; it keeps other jobs off its corpus. A promotion under way is finished."""
    return _ordered(service, job, Order.PAUSE)


@router.post(
    "/jobs/{job_id}/resume",
    status_code=202,
    summary="Resume a job",
    responses=answers("The job, queued or running.", JobOut, status=202) | refusals(403, 404, _409=_ENDED),
)
def resume_job(job: VisibleJob, caller: Admin, service: Running) -> dict[str, Any]:
    """Lets a paused job go on where it was; one that is not paused stays as it is."""
    return _ordered(service, job, Order.RESUME)


@router.post(
    "/jobs/{job_id}/approve",
    status_code=202,
    summary="Approve a promotion",
    responses=answers("The job, queued for its promotion.", JobOut, status=202)
    | refusals(403, 404, 413, _409=_NOT_ASKED),
)
def approve_job(job: VisibleJob, body: ApproveIn, caller: Admin, service: Running) -> dict[str, Any]:
    """Lets a job that is `awaiting_approval` promote; who said so and why is kept for ever."""
    return _decided(service, job, caller, approved=True, reason=body.reason)


@router.post(
    "/jobs/{job_id}/reject",
    status_code=202,
    summary="Reject a promotion",
    responses=answers("The job, rejected.", JobOut, status=202) | refusals(403, 404, 413, _409=_NOT_ASKED),
)
def reject_job(job: VisibleJob, body: RejectIn, caller: Admin, service: Running) -> dict[str, Any]:
    """Ends a job that is `awaiting_approval` and retires what it built; who said so and why is kept."""
    return _decided(service, job, caller, approved=False, reason=body.reason)


def _decided(
    service: Service, job: Job, caller: Admin, *, approved: bool, reason: str | None
) -> dict[str, Any]:
    with service.database.write() as connection:
        actor = caller.key.key_id
        present, letters = decide(connection, job.job_id, approved=approved, actor=actor, reason=reason)
    deliver(service.database, service.queue, letters)
    return job_out(present)


def _ordered(service: Service, job: Job, order: Order) -> dict[str, Any]:
    with service.database.write() as connection:
        present, letters = give(connection, job.job_id, order)
    deliver(service.database, service.queue, letters)
    return job_out(present)


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    summary="Follow a job",
    responses=answers("Server-sent events, until the job has ended.", JobEvent) | refusals(404),
)
async def follow_job(
    job: Annotated[Job, Depends(visible_job)], service: Running
) -> AsyncIterator[ServerSentEvent]:
    """One `progress` event for each change; the stream ends after the one that tells how the job ended."""
    told: dict[str, Any] | None = None
    while True:
        present = job_out(job)
        if present != told:
            yield ServerSentEvent(event="progress", data=present)
            told = present
        if job.state.ended or service.stopping.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(service.stopping.wait(), EVENT_SECONDS)
        try:
            job = await run_in_threadpool(_read, service, job.job_id)
        except NotFound:
            return
        except Unavailable as error:
            yield ServerSentEvent(comment=error.message)


def _read(service: Service, job_id: str) -> Job:
    with service.database.read() as connection:
        return job_rows.get(connection, job_id)


def _params(body: JobIn, service: Service) -> dict[str, Any]:
    try:
        params = PARAMS_OF_KIND[body.kind].model_validate(body.params)
    except ValidationError as error:
        raise invalid_input(error.errors(), "params") from error
    told = params.model_dump(mode="json", exclude_none=True)
    given = body.params.get("training")
    if body.kind is JobKind.TRAIN_FROM_SCRATCH:
        given = given or {}
    return told if given is None else told | {"training": _training(body, given, service)}


def _training(body: JobIn, given: dict[str, Any], service: Service) -> dict[str, Any]:
    """The policy's training with what was given for this job in its place, whole."""
    with service.database.read() as connection:
        policy = corpora.get(connection, body.corpus).policy
    wanted = policy.training.model_dump() | given
    if body.kind is JobKind.TRAIN_FROM_SCRATCH and wanted["from_scratch"] is None:
        wanted["from_scratch"] = {"method": "fasttext"}
    try:
        training = TrainingSettings.model_validate(wanted)
    except ValidationError as error:
        raise invalid_input(error.errors(), "params.training") from error
    try:
        Policy.model_validate(policy.model_dump() | {"training": wanted})
    except ValidationError as error:
        raise invalid_input(error.errors(), "params") from error
    return training.model_dump(mode="json")


def _check_possible(service: Service, body: JobIn, params: dict[str, Any], scoped: str | None) -> None:
    """Refuses early what the job would only find out later; a repeated request is never refused here."""
    with service.database.read() as connection:
        corpus = corpora.get(connection, body.corpus)
        if scoped is not None and job_rows.by_idempotency_key(connection, scoped) is not None:
            return
        model_version = params.get("model_version")
        found = None if model_version is None else models.find(connection, model_version)
        if model_version is not None and found is None:
            raise NotFound(f"there is no model version {model_version!r}", field="params.model_version")
        if found is not None and found.backend == CROSS_ENCODER:
            raise InvalidInput(f"{model_version} re-ranks and cannot encode", field="params.model_version")
    learns = body.kind in (JobKind.CYCLE, JobKind.FINETUNE, JobKind.RERANKER)
    if learns and _needs_judgments(corpus, params):
        pairs = count_training_pairs(service.database, corpus.name)
        needed = corpus.policy.trigger.min_pairs
        if pairs < needed:
            raise TooLittleFeedback(
                f"corpus {corpus.name!r} has at most {pairs} training pairs, needed are {needed} "
                "(policy.trigger.min_pairs)",
                field="corpus",
            )


def _needs_judgments(corpus: Corpus, params: dict[str, Any]) -> bool:
    """Whether only people's judgments can train this job; how many pairs other sources give, the job finds."""
    ordered = params.get("training")
    training = corpus.policy.training if ordered is None else TrainingSettings.model_validate(ordered)
    return training.needs_judgments
