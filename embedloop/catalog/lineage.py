"""Which sources went into which training set, and so into which model versions, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, or_, select, tuple_

from embedloop.catalog.dialect import insert_or_ignore
from embedloop.catalog.label_tables import queries, training_pairs, training_sets, training_sources
from embedloop.catalog.tables import models
from embedloop.lineage import LABELS, SourceKind, pair_id, sources_of
from embedloop.records.training import TrainingPair
from embedloop.removed import Removed
from embedloop.slices import slices

VALUES_PER_STATEMENT = 400


@dataclass(frozen=True, slots=True)
class TracedPair:
    """A pair of one training set: what it is made of, by kind, and the model versions trained on it."""

    pair_id: str
    training_set_id: str
    query: str | None
    document_id: str
    split: str
    sources: Mapping[str, Sequence[str]]
    model_versions: Sequence[str]

    @property
    def cursor(self) -> str:
        """Where the next page begins: the same pair stands once for each training set."""
        return f"{self.pair_id}.{self.training_set_id}"


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs to trace; what is None does not narrow. `after` is the cursor of the last pair before."""

    training_set_id: str | None = None
    query_key: str | None = None
    document_id: str | None = None
    source: str | None = None
    after: str | None = None


def add(
    connection: Connection,
    training_set_id: str,
    pairs: Sequence[TrainingPair],
    persons: Mapping[str, Sequence[str]],
) -> None:
    """Stores what pairs are made of; again is harmless, so that a stage that starts anew goes on."""
    rows, sources = [], []
    for pair in pairs:
        identity = pair_id(pair.anchor_key, pair.document_id)
        rows.append(
            {
                "training_set_id": training_set_id,
                "pair_id": identity,
                "query_key": pair.anchor_key,
                "document_id": pair.document_id,
                "split": pair.split.value,
            }
        )
        sources += [
            {"training_set_id": training_set_id, "kind": kind.value, "source": source, "pair_id": identity}
            for kind, source in sources_of(pair, persons)
        ]
    insert_or_ignore(connection, training_pairs, rows)
    insert_or_ignore(connection, training_sources, sources)


def counts(connection: Connection, training_set_id: str) -> dict[str, int]:
    """How many distinct sources of each kind a training set has; empty for one older than lineage."""
    statement = (
        select(training_sources.c.kind, func.count(training_sources.c.source.distinct()).label("number"))
        .where(training_sources.c.training_set_id == training_set_id)
        .group_by(training_sources.c.kind)
    )
    return {row.kind: row.number for row in connection.execute(statement)}


def trace(connection: Connection, corpus: str, wanted: PairFilter, limit: int) -> list[TracedPair]:
    """Pairs of a corpus' training sets, in order of their ids, with all that they are made of."""
    table = training_pairs
    statement = (
        select(table, queries.c.query)
        .join(training_sets, training_sets.c.training_set_id == table.c.training_set_id)
        .outerjoin(queries, (queries.c.corpus == corpus) & (queries.c.query_key == table.c.query_key))
        .where(training_sets.c.corpus == corpus)
        .order_by(table.c.pair_id, table.c.training_set_id)
        .limit(limit)
    )
    for column, value in (
        (table.c.training_set_id, wanted.training_set_id),
        (table.c.query_key, wanted.query_key),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.after is not None:
        before, _, within = wanted.after.partition(".")
        statement = statement.where(tuple_(table.c.pair_id, table.c.training_set_id) > (before, within))
    if wanted.document_id is not None:
        kinds = [SourceKind.DOCUMENT, SourceKind.NEGATIVE]
        statement = statement.where(_has(kinds, wanted.document_id))
    if wanted.source is not None:
        statement = statement.where(_has(LABELS, wanted.source))
    return _traced(connection, connection.execute(statement).mappings().all())


def sets_with(
    connection: Connection, kinds: Collection[SourceKind], sources: Collection[str], corpus: str | None
) -> list[str]:
    """Training sets (of one corpus, or all) that have one of these sources, in order."""
    found: set[str] = set()
    for part in slices(sorted(sources), VALUES_PER_STATEMENT):
        statement = (
            select(training_sources.c.training_set_id)
            .join(training_sets, training_sets.c.training_set_id == training_sources.c.training_set_id)
            .where(
                training_sources.c.kind.in_([kind.value for kind in kinds]),
                training_sources.c.source.in_(part),
            )
            .distinct()
        )
        if corpus is not None:
            statement = statement.where(training_sets.c.corpus == corpus)
        found.update(connection.execute(statement).scalars())
    return sorted(found)


def models_of(connection: Connection, training_set_ids: Collection[str]) -> dict[str, list[str]]:
    """Training set -> model versions that were trained on it, the oldest first."""
    found: dict[str, list[str]] = {}
    for part in slices(sorted(training_set_ids), VALUES_PER_STATEMENT):
        statement = (
            select(models.c.training_set_id, models.c.model_id)
            .where(models.c.training_set_id.in_(part))
            .order_by(models.c.created_at, models.c.model_id)
        )
        for training_set_id, model_id in connection.execute(statement):
            found.setdefault(training_set_id, []).append(model_id)
    return found


def holds_removed(connection: Connection, training_set_id: str, removed: Removed) -> bool:
    """Whether a training set was frozen with something that was removed meanwhile."""
    texts = [f"text:{key}" for key in removed.texts]
    sought = (
        ([SourceKind.PERSON], removed.persons),
        ([SourceKind.DOCUMENT, SourceKind.NEGATIVE], {*removed.documents, *texts}),
    )
    for kinds, marks in sought:
        for part in slices(sorted(marks), VALUES_PER_STATEMENT):
            statement = select(training_sources.c.pair_id).where(
                training_sources.c.training_set_id == training_set_id,
                training_sources.c.kind.in_([kind.value for kind in kinds]),
                training_sources.c.source.in_(part),
            )
            if connection.execute(statement.limit(1)).first() is not None:
                return True
    return False


def _has(kinds: Sequence[SourceKind], source: str) -> Any:
    return (
        select(training_sources.c.pair_id)
        .where(
            training_sources.c.training_set_id == training_pairs.c.training_set_id,
            training_sources.c.pair_id == training_pairs.c.pair_id,
            training_sources.c.kind.in_([kind.value for kind in kinds]),
            training_sources.c.source == source,
        )
        .exists()
    )


def _traced(connection: Connection, rows: Sequence[RowMapping]) -> list[TracedPair]:
    sources: dict[tuple[str, str], dict[str, list[str]]] = {}
    for part in slices(rows, VALUES_PER_STATEMENT):
        statement = select(training_sources).where(
            or_(
                *(
                    (training_sources.c.training_set_id == row["training_set_id"])
                    & (training_sources.c.pair_id == row["pair_id"])
                    for row in part
                )
            )
        )
        for found in connection.execute(statement.order_by(training_sources.c.source)):
            of_pair = sources.setdefault((found.training_set_id, found.pair_id), {})
            of_pair.setdefault(found.kind, []).append(found.source)
    trained = models_of(connection, {row["training_set_id"] for row in rows})
    return [
        TracedPair(
            pair_id=row["pair_id"],
            training_set_id=row["training_set_id"],
            query=row["query"],
            document_id=row["document_id"],
            split=row["split"],
            sources=sources.get((row["training_set_id"], row["pair_id"]), {}),
            model_versions=trained.get(row["training_set_id"], []),
        )
        for row in rows
    ]
