"""Corpora: create, list, read, change the policy, delete."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from fastapi import APIRouter, Response
from pydantic import ValidationError

from embedloop import garbage, jobs
from embedloop.catalog import corpora, index_versions
from embedloop.catalog import garbage as doomed
from embedloop.catalog import jobs as job_rows
from embedloop.errors import Conflict, EmbedloopError, Forbidden, MissingExtra, ModelRefused
from embedloop.policy import Policy
from embedloop.queue import deliver
from embedloop.records.jobs import JobKind, JobState
from embedloop.registry import resolve_base
from embedloop.rerankers import require_gated
from embedloop.text.names import presidio_names
from service.answers import corpus_out
from service.openapi import answers, refusals
from service.outputs import CorpusCreated, CorpusList, CorpusOut
from service.problems import invalid_input
from service.routing import Admin, Reader, Running, keyed_router
from service.schemas import CorpusIn, PolicyPatch
from service.state import Service

log = logging.getLogger(__name__)

router: APIRouter = keyed_router("corpora")


@router.post(
    "/corpora",
    status_code=201,
    summary="Create a corpus",
    responses=answers("The corpus, and the job that builds its index.", CorpusCreated, status=201)
    | refusals(403, 413, _409="The name is taken."),
)
def create_corpus(body: CorpusIn, caller: Admin, service: Running) -> dict[str, Any]:
    """Creates a corpus and submits the job that builds its first index version."""
    if caller.corpora is not None and body.name not in caller.corpora:
        raise Forbidden(f"your key is for the corpora {sorted(caller.corpora)} only", field="name")
    raw = dict(body.policy)
    if body.base_model is not None:
        raw["base_model"] = body.base_model
    if body.chunking is not None:
        raw["chunking"] = body.chunking.model_dump()
    policy = _policy(raw)
    _check_base(policy, "policy.base_model" if body.base_model is None else "base_model")
    service.index.require(policy.index)
    _check_names(policy, service)
    with service.database.write() as connection:
        require_gated(connection, body.name, policy)
        corpora.add(connection, body.name, policy)
        job, letters = jobs.submit(connection, JobKind.REINDEX, body.name, {"initial": True})
        told = corpus_out(connection, corpora.get(connection, body.name))
    deliver(service.database, service.queue, letters)
    return told | {"job": job.job_id}


@router.get(
    "/corpora",
    summary="List corpora",
    responses=answers("All of them, by name.", CorpusList) | refusals(),
)
def list_corpora(caller: Reader, service: Running) -> dict[str, Any]:
    """The corpora that the key may see."""
    with service.database.read() as connection:
        seen = [c for c in corpora.every(connection) if caller.corpora is None or c.name in caller.corpora]
        return {"items": [corpus_out(connection, corpus) for corpus in seen]}


@router.get(
    "/corpora/{corpus}",
    summary="Read a corpus",
    responses=answers("The corpus.", CorpusOut) | refusals(404),
)
def get_corpus(corpus: str, caller: Reader, service: Running) -> dict[str, Any]:
    """The corpus with its policy, what serves it and how many documents it holds."""
    caller.require_corpus(corpus)
    with service.database.read() as connection:
        return corpus_out(connection, corpora.get(connection, corpus))


@router.patch(
    "/corpora/{corpus}",
    summary="Change a corpus' policy",
    responses=answers("The corpus as it is now.", CorpusOut) | refusals(403, 404, 409, 413),
)
def change_policy(corpus: str, body: PolicyPatch, caller: Admin, service: Running) -> dict[str, Any]:
    """Merges each section given into the policy; chunking, base model and index count from the next build."""
    caller.require_corpus(corpus)
    with service.database.read() as connection:
        before = corpora.get(connection, corpus).policy
    after = _merged(before, body.policy)
    if after.base_model != before.base_model:
        _check_base(after, "policy.base_model")
    if after.index != before.index:
        service.index.require(after.index)
    if after.redact_names != before.redact_names:
        _check_names(after, service)
    with service.database.write() as connection:
        present = corpora.get(connection, corpus, lock=True).policy
        changed = _merged(present, body.policy)
        if changed.reranking.model != present.reranking.model:
            require_gated(connection, corpus, changed)
        corpora.set_policy(connection, corpus, changed)
        return corpus_out(connection, corpora.get(connection, corpus))


@router.delete(
    "/corpora/{corpus}",
    status_code=204,
    summary="Delete a corpus",
    responses=answers("It is gone, with everything in it.", status=204)
    | refusals(403, 404, _409="A job works on it."),
)
def delete_corpus(corpus: str, caller: Admin, service: Running) -> Response:
    """Deletes a corpus with everything in it; refused while a job works on it."""
    caller.require_corpus(corpus)
    with service.database.write() as connection:
        corpora.get(connection, corpus, lock=True)
        for state in (state for state in JobState if not state.ended):
            for job in job_rows.find(connection, corpora=[corpus], state=state, limit=1):
                raise Conflict(
                    f"job {job.job_id} ({job.kind.value}) is {job.state.value}; wait for it or cancel it",
                    field="corpus",
                )
        collections = [version.collection for version in index_versions.of_corpus(connection, corpus)]
        doomed.doom(connection, collections, after_seconds=0)
        corpora.remove(connection, corpus)
    service.replica.refresh(corpus)
    try:
        garbage.drop_due(service.database, service.index)
    except EmbedloopError as error:
        log.warning("the collections of corpus %s are left to the reconciler: %s", corpus, error)
    return Response(status_code=204)


def _policy(raw: dict[str, Any]) -> Policy:
    try:
        # As JSON and strictly: neither "16" nor true is a number.
        return Policy.model_validate_json(orjson.dumps(raw), strict=True)
    except ValidationError as error:
        raise invalid_input(error.errors(), "policy") from error


def _merged(before: Policy, change: dict[str, Any]) -> Policy:
    merged: dict[str, Any] = before.model_dump()
    for section, value in change.items():
        present = merged.get(section)
        merged[section] = (
            {**present, **value} if isinstance(present, dict) and isinstance(value, dict) else value
        )
    return _policy(merged)


def _check_base(policy: Policy, field: str) -> None:
    try:
        resolve_base(policy.base_model)
    except ModelRefused as error:
        error.field = field
        raise


def _check_names(policy: Policy, service: Service) -> None:
    if policy.redact_names:
        try:
            presidio_names(service.settings.names_model)
        except MissingExtra as error:
            error.field = "policy.redact_names"
            raise
