"""A catalog with one corpus, a model version, and an index version in building."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedloop.catalog import corpora, index_versions, models
from embedloop.catalog.database import Database, now
from embedloop.policy import Chunking, IndexSettings, Policy
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion

CORPUS = "papers"


def model() -> ModelVersion:
    return ModelVersion("m-1", "base", None, None, None, 32, 64, "", "", "onnx", {}, {}, now())


@pytest.fixture
def catalog(database: Database) -> Database:
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
        corpora.add(connection, "other", Policy())
        models.add(connection, model())
    return database


def version(name: str, **fields: Any) -> IndexVersion:
    """An index version of the model, in building unless `fields` say otherwise."""
    settings: dict[str, Any] = {
        "corpus": CORPUS,
        "model_id": "m-1",
        "collection": f"c_{name}",
        "state": IndexState.BUILDING,
        "chunking": Chunking(),
        "index": IndexSettings(),
        "head": 0,
        "applied_seq": 0,
        "backfilled": False,
        "verification": None,
        "served_at": None,
        "retired_at": None,
        "created_at": now(),
    }
    return IndexVersion(index_version_id=name, **(settings | fields))


@pytest.fixture
def add_version(catalog: Database) -> Callable[..., IndexVersion]:
    def add(name: str, **fields: Any) -> IndexVersion:
        added = version(name, **fields)
        with catalog.write() as connection:
            index_versions.add(connection, added)
        return added

    return add


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Database]:
    """A corpus with a serving version `one` and its rollback `two`."""
    opened = Database(postgresql_url)
    with opened.write() as connection:
        corpora.add(connection, CORPUS, Policy())
        models.add(connection, model())
        for name, state in (("one", IndexState.SERVING), ("two", IndexState.STANDBY)):
            index_versions.add(connection, version(name, state=state, backfilled=True))
        corpora.set_serving(connection, CORPUS, "one", "two")
    yield opened
    opened.dispose()
