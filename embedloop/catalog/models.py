"""Model versions, training sets and gates in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from embedloop.catalog.dialect import insert_or_ignore
from embedloop.catalog.label_tables import training_sets
from embedloop.catalog.tables import gates, models
from embedloop.errors import NotFound
from embedloop.records.gate import Gate
from embedloop.records.training import TrainingSet
from embedloop.records.versions import ModelVersion


def add(connection: Connection, model: ModelVersion) -> None:
    """Stores a model version; the same id again changes nothing, for a version never changes."""
    insert_or_ignore(connection, models, [asdict(model)])


def get(connection: Connection, model_id: str) -> ModelVersion:
    """Raises NotFound."""
    row = connection.execute(select(models).where(models.c.model_id == model_id)).mappings().first()
    if row is None:
        raise NotFound(f"there is no model version {model_id!r}", field="model_version")
    return _model(row)


def find(connection: Connection, model_id: str) -> ModelVersion | None:
    row = connection.execute(select(models).where(models.c.model_id == model_id)).mappings().first()
    return None if row is None else _model(row)


def every(connection: Connection, corpus: str | None = None) -> list[ModelVersion]:
    """Model versions, the newest first; of one corpus, those trained for it and the untrained bases."""
    statement = select(models).order_by(models.c.created_at.desc())
    if corpus is not None:
        statement = statement.where((models.c.corpus == corpus) | models.c.corpus.is_(None))
    return [_model(row) for row in connection.execute(statement).mappings()]


def set_metrics(connection: Connection, model_id: str, metrics: Mapping[str, Any]) -> None:
    connection.execute(update(models).where(models.c.model_id == model_id).values(metrics=dict(metrics)))


def add_training_set(connection: Connection, frozen: TrainingSet) -> None:
    insert_or_ignore(connection, training_sets, [asdict(frozen)])


def training_set(connection: Connection, training_set_id: str) -> TrainingSet:
    """Raises NotFound."""
    statement = select(training_sets).where(training_sets.c.training_set_id == training_set_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"there is no training set {training_set_id!r}", field="training_set")
    return TrainingSet(**row)


def add_gate(connection: Connection, gate: Gate) -> None:
    connection.execute(insert(gates).values(**asdict(gate)))


def gates_of(connection: Connection, candidate: str) -> list[Gate]:
    """Every decision on a candidate, the newest first."""
    statement = (
        select(gates)
        .where(gates.c.candidate == candidate)
        .order_by(gates.c.created_at.desc(), gates.c.gate_id.desc())
    )
    return [Gate(**row) for row in connection.execute(statement).mappings()]


def newest_gate(connection: Connection, corpus: str, candidate: str) -> Gate | None:
    """The newest decision on this candidate for this corpus."""
    return next((one for one in gates_of(connection, candidate) if one.corpus == corpus), None)


def passed_gate(connection: Connection, corpus: str, candidate: str) -> bool:
    """Whether the newest gate of this candidate on this corpus let it pass."""
    statement = (
        select(gates.c.passed)
        .where(gates.c.corpus == corpus, gates.c.candidate == candidate)
        .order_by(gates.c.created_at.desc())
        .limit(1)
    )
    return bool(connection.execute(statement).scalar_one_or_none())


def _model(row: RowMapping) -> ModelVersion:
    return ModelVersion(**row)
