"""What model versions were trained on, and how it is taken out of all future training."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from embedloop import removal
from embedloop.catalog import corpora, lineage, models, removals
from embedloop.catalog.lineage import PairFilter, TracedPair
from embedloop.errors import Forbidden, InvalidInput, NotFound
from embedloop.lineage import SourceKind
from embedloop.records.training import Removal
from embedloop.text.normalise import query_key
from service.auth import Caller
from service.openapi import answers, refusals
from service.outputs_lineage import DataRemovalList, DataRemovalOut, TracedPairList
from service.routing import Admin, Running, Writer, keyed_router
from service.schemas import ID_PATTERN, RemovalIn
from service.validation import checked_document_id

router: APIRouter = keyed_router("lineage")

MAX_PAGE = 200
NO_NUL = r"^[^\x00]*$"
_Id = Annotated[str | None, Query(pattern=ID_PATTERN)]


@router.get(
    "/corpora/{corpus}/training-pairs",
    summary="Trace training pairs",
    responses=answers("Pairs of training sets, with all that they are made of.", TracedPairList)
    | refusals(403, 404),
)
def list_training_pairs(
    corpus: str,
    caller: Writer,
    service: Running,
    query: Annotated[
        str | None,
        Query(max_length=4000, pattern=NO_NUL, description="The anchor, in any case and word order."),
    ] = None,
    document_id: Annotated[
        str | None, Query(max_length=256, description="As positive or as hard negative.")
    ] = None,
    source: Annotated[
        str | None, Query(max_length=512, pattern=NO_NUL, description="Id of feedback, or `import:name:line`.")
    ] = None,
    training_set: Annotated[_Id, Query(description="Only of this set.")] = None,
    model_version: Annotated[_Id, Query(description="Only of the set that this one was trained on.")] = None,
    after: Annotated[_Id, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Pairs of one page.")] = 50,
) -> dict[str, Any]:
    """Traces a pair to the feedback and imports that made it, or one of these to the models that saw it."""
    caller.require_corpus(corpus)
    with service.database.read() as connection:
        corpora.get(connection, corpus)
        if model_version is not None:
            training_set = _training_set_of(connection, corpus, model_version, training_set)
        wanted = PairFilter(
            training_set_id=training_set,
            query_key=None if query is None else query_key(query),
            document_id=None if document_id is None else checked_document_id(document_id),
            source=source,
            after=after,
        )
        found = lineage.trace(connection, corpus, wanted, limit)
    return _page(found, limit)


@router.post(
    "/removals",
    status_code=201,
    summary="Take data out of all future training",
    responses=answers("It is gone, and what comes of it later never trains.", DataRemovalOut, status=201)
    | refusals(403, 404, 409, 413),
)
def add_removal(body: RemovalIn, caller: Admin, service: Running) -> dict[str, Any]:
    """Removes a person's or a document's data; asked for again it removes what came since.

    Workers look again after five minutes: for searches that a replica had still to hand over, and for what is
    left where this process dies on the way.

    A person's feedback, searches and judgments are deleted. A document loses its labels and stays searchable.
    Model versions that were trained before are named: their files do not change.
    """
    _check(body, caller)
    if body.corpus is not None:
        with service.database.read() as connection:
            corpora.get(connection, body.corpus)
    if body.document_id is not None and body.corpus is not None:
        done = removal.forget_document(service.database, body.corpus, checked_document_id(body.document_id))
    else:
        done = removal.forget_person(service.database, str(body.person), key_id=body.key_id, corpus=body.corpus)
    with service.database.read() as connection:
        return _removal_out(connection, done)


@router.get(
    "/removals",
    summary="List removals",
    responses=answers("Removals, the newest first.", DataRemovalList) | refusals(403),
)
def list_removals(caller: Admin, service: Running) -> dict[str, Any]:
    """What was removed, by hashes and ids: of a person nothing else is kept."""
    with service.database.read() as connection:
        found = [one for one in removals.every(connection) if _visible(one, caller)]
        return {"items": [_removal_out(connection, one) for one in found]}


@router.get(
    "/removals/{removal_id}",
    summary="Read a removal",
    responses=answers("The removal, and the model versions that saw the data.", DataRemovalOut)
    | refusals(403, 404),
)
def get_removal(removal_id: str, caller: Admin, service: Running) -> dict[str, Any]:
    """One removal; the model versions are looked up now, so that one which was in training is told too."""
    found = removal.find(service.database, removal_id)
    if not _visible(found, caller):
        raise NotFound(f"there is no removal {removal_id!r}", field="removal_id")
    with service.database.read() as connection:
        return _removal_out(connection, found)


def _check(body: RemovalIn, caller: Caller) -> None:
    if (body.person is None) == (body.document_id is None):
        raise InvalidInput("name either a person or a document_id", field="person")
    if body.document_id is not None and body.corpus is None:
        raise InvalidInput("a document is named by its corpus and its id", field="corpus")
    if body.document_id is not None and body.key_id is not None:
        raise InvalidInput("key_id narrows a person, leave it out for a document", field="key_id")
    if body.corpus is not None:
        caller.require_corpus(body.corpus)
    elif caller.corpora is not None:
        raise Forbidden("your key is limited to some corpora: name the one that is meant", field="corpus")


def _visible(found: Removal, caller: Caller) -> bool:
    return caller.corpora is None or found.corpus in caller.corpora


def _training_set_of(connection: Connection, corpus: str, model_version: str, training_set: str | None) -> str:
    model = models.find(connection, model_version)
    if model is None or model.corpus != corpus or model.training_set_id is None:
        raise NotFound(
            f"corpus {corpus!r} has no trained model version {model_version!r}", field="model_version"
        )
    if training_set is not None and training_set != model.training_set_id:
        raise InvalidInput(
            f"model version {model_version!r} was trained on {model.training_set_id!r}, not {training_set!r}",
            field="training_set",
        )
    return model.training_set_id


def _page(found: list[TracedPair], limit: int) -> dict[str, Any]:
    told: dict[str, Any] = {"items": [_pair_out(pair) for pair in found]}
    if len(found) == limit:
        told["next"] = found[-1].cursor
    return told


def _pair_out(pair: TracedPair) -> dict[str, Any]:
    sources = {kind: list(named) for kind, named in pair.sources.items() if kind != SourceKind.PERSON}
    return {
        "id": pair.pair_id,
        "training_set": pair.training_set_id,
        "model_versions": list(pair.model_versions),
        "query": pair.query,
        "document_id": pair.document_id,
        "split": pair.split,
        "sources": sources,
    }


def _removal_out(connection: Connection, found: Removal) -> dict[str, Any]:
    seen = asdict(removal.seen_by(connection, found))
    return {
        "id": found.removal_id,
        "kind": found.kind,
        "corpus": found.corpus,
        "removed": dict(found.removed),
        **seen,
        "created_at": found.created_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
        "settled_at": None if found.settled_at is None else found.settled_at.isoformat(),
    }
