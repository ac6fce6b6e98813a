"""Model versions: list, read, their cards."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from embedloop.catalog import corpora, lineage, models
from embedloop.errors import NotFound
from embedloop.lineage import SourceKind
from embedloop.model_card import card_of, to_markdown
from embedloop.records.versions import ModelVersion
from embedloop.registry import run_record
from service.answers import model_out
from service.auth import Caller
from service.openapi import answers, refusals
from service.outputs import ModelCard, ModelList
from service.outputs_lineage import ModelDetail
from service.routing import Reader, Running, keyed_router
from service.schemas import NAME_PATTERN

router: APIRouter = keyed_router("models")


@router.get(
    "/models",
    summary="List model versions",
    responses=answers("Model versions.", ModelList) | refusals(404),
)
def list_models(
    caller: Reader,
    service: Running,
    corpus: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only those of this corpus.")] = None,
) -> dict[str, Any]:
    """Model versions, the newest first; of one corpus, those trained for it and the untrained bases."""
    with service.database.read() as connection:
        if corpus is not None:
            corpora.get(connection, caller.require_corpus(corpus))
        found = models.every(connection, corpus)
    return {"items": [model_out(model) for model in found if _visible(model, caller)]}


@router.get(
    "/models/{model_id}",
    summary="Read a model version",
    responses=answers("The model version.", ModelDetail) | refusals(404),
)
def get_model(model_id: str, caller: Reader, service: Running) -> dict[str, Any]:
    """One model version with its manifest and metrics, and what it was trained on."""
    with service.database.read() as connection:
        model = models.find(connection, model_id)
        if model is None or not _visible(model, caller):
            raise NotFound(f"there is no model version {model_id!r}", field="model_id")
        return model_out(model) | {"lineage": _lineage(connection, model.training_set_id)}


def _lineage(connection: Connection, training_set_id: str | None) -> dict[str, Any]:
    if training_set_id is None:
        return {"counts": {}, "sources": {}, "report": {}}
    frozen = models.training_set(connection, training_set_id)
    sources = _sources(connection, training_set_id)
    return {"counts": dict(frozen.counts), "sources": sources, "report": dict(frozen.report)}


def _sources(connection: Connection, training_set_id: str) -> dict[str, int]:
    sources = lineage.counts(connection, training_set_id)
    # Of persons not even their number: who may read models may not know who asked.
    sources.pop(SourceKind.PERSON, None)
    return sources


@router.get(
    "/models/{model_id}/card",
    summary="Read a model card",
    response_model=None,
    responses=answers("The card.", ModelCard, markdown=True) | refusals(404),
)
def get_model_card(
    model_id: str,
    caller: Reader,
    service: Running,
    format: Annotated[Literal["json", "markdown"], Query(description="Of the answer.")] = "json",
) -> dict[str, Any] | Response:
    """Where a model version comes from, how it was made, what every gate measured, and its limits.

    Decisions about corpora that the key may not see are left out.
    """
    with service.database.read() as connection:
        model = models.find(connection, model_id)
        if model is None or not _visible(model, caller):
            raise NotFound(f"there is no model version {model_id!r}", field="model_id")
        trained = model.training_set_id
        training_set = None if trained is None else models.training_set(connection, trained)
        sources = {} if trained is None else _sources(connection, trained)
        gates = models.gates_of(connection, model_id)
    seen = [gate for gate in gates if caller.corpora is None or gate.corpus in caller.corpora]
    card = card_of(model, training_set, seen, run_record(service.store, model_id), sources)
    return card if format == "json" else Response(to_markdown(card), media_type="text/markdown")


def _visible(model: ModelVersion, caller: Caller) -> bool:
    return caller.corpora is None or model.corpus is None or model.corpus in caller.corpora
