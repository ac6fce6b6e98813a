"""Re-rankers as model versions: registered like encoders, loaded by their own door, used only after a gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from embedloop.catalog import models
from embedloop.catalog.database import Database, now
from embedloop.errors import InvalidInput
from embedloop.policy import Policy
from embedloop.records.versions import ModelVersion
from embedloop.registry import (
    CROSS_ENCODER,
    Exporter,
    ModelStore,
    check_folder,
    manifest_of,
    max_tokens_of,
    model_id_of,
    store_exported,
    verified_folder,
)
from embedloop.reranker import OnnxReranker

_FIELD = "policy.reranking.model"
# A score for each pair.
_OUTPUTS = 1


def register_reranker(
    database: Database,
    store: ModelStore,
    folder: Path,
    *,
    base: str,
    export: Exporter,
    corpus: str,
    training_set_id: str,
    metrics: Mapping[str, Any],
) -> ModelVersion:
    """Makes a CrossEncoder folder an immutable model version; the same content again is the one that there is.

    Args:
        database: The catalog.
        store: Where the files go.
        folder: A CrossEncoder folder with safetensors.
        base: Name or path of what it was trained from.
        export: Writes `onnx/model.onnx` into a copy of the folder and checks it against torch.
        corpus: Corpus that it was trained for.
        training_set_id: What it was trained on.
        metrics: What is known of its training.

    Raises:
        ModelRefused: the folder may not be loaded, or its export differs from it.
    """
    check_folder(folder)
    model_id = model_id_of(folder, query_prompt="", passage_prompt="")
    with database.read() as connection:
        known = models.find(connection, model_id)
    if known is not None:
        return known
    stored = store_exported(store, model_id, folder, export)
    model = ModelVersion(
        model_id=model_id,
        base=base,
        parent=None,
        corpus=corpus,
        training_set_id=training_set_id,
        dimension=_OUTPUTS,
        max_tokens=max_tokens_of(stored),
        query_prompt="",
        passage_prompt="",
        backend=CROSS_ENCODER,
        manifest=manifest_of(stored),
        metrics=dict(metrics),
        created_at=now(),
    )
    with database.write() as connection:
        models.add(connection, model)
    return model


def load_reranker(store: ModelStore, model: ModelVersion, *, threads: int) -> OnnxReranker:
    """Loads a re-ranker and measures its speed. Raises ModelRefused when its files differ from the manifest."""
    return OnnxReranker(verified_folder(store, model), max_tokens=model.max_tokens, threads=threads)


def require_gated(connection: Connection, corpus: str, policy: Policy) -> None:
    """Nothing re-ranks against the gate.

    Raises:
        InvalidInput: The policy names no re-ranker of this corpus, or one whose newest gate it did not pass.
    """
    wanted = policy.reranking.model
    if wanted is None:
        return
    model = models.find(connection, wanted)
    if model is None or model.backend != CROSS_ENCODER or model.corpus != corpus:
        raise InvalidInput(f"corpus {corpus!r} has no re-ranker {wanted!r}", field=_FIELD)
    if not models.passed_gate(connection, corpus, wanted):
        raise InvalidInput(f"re-ranker {wanted!r} has not passed the gate of corpus {corpus!r}", field=_FIELD)
