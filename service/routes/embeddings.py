"""Embeddings in the shape of OpenAI's, so that any client of it works."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from embedloop.catalog import corpora
from embedloop.errors import InvalidInput, NotFound, NotReady
from embedloop.serving import Serving
from service.auth import Caller
from service.openapi import answers, refusals
from service.outputs import EmbeddingsOut
from service.routing import Reader, Running, keyed_router
from service.schemas import EmbeddingsIn
from service.state import Service

router: APIRouter = keyed_router("embeddings")


@router.post(
    "/embeddings",
    summary="Encode texts",
    responses=answers("The vectors.", EmbeddingsOut) | refusals(404, 413, 429),
)
async def embed(body: EmbeddingsIn, caller: Reader, service: Running) -> Response:
    """L2-normalised vectors by the model that a corpus serves, named by the corpus or by the model version."""
    serving = await run_in_threadpool(_serving, service, caller, body.model)
    dimension = serving.encoder.dimension
    if body.dimensions not in (None, dimension):
        raise InvalidInput(
            f"dimensions must be {dimension} for this model, got {body.dimensions}", field="dimensions"
        )
    embedded = await service.embedder.embed(serving, body.input, body.input_type)
    vectors = embedded.vectors.astype("<f4")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode()
            if body.encoding_format == "base64"
            else np.ascontiguousarray(vector),
        }
        for index, vector in enumerate(vectors)
    ]
    told: dict[str, Any] = {
        "object": "list",
        "data": data,
        "model": serving.model.model_id,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }
    return Response(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def _serving(service: Service, caller: Caller, model: str) -> Serving:
    """The serving that a corpus or a model version names, among what the caller may see."""
    with service.database.read() as connection:
        names = [c.name for c in corpora.every(connection)]
    visible = [name for name in names if caller.corpora is None or name in caller.corpora]
    if model in visible:
        return service.replica.serving(model)
    for name in visible:
        try:
            serving = service.replica.serving(name)
        except (NotFound, NotReady):
            continue
        if serving.model.model_id == model:
            return serving
    raise NotFound(f"{model!r} is neither a corpus nor a model version that a corpus serves", field="model")
