"""A catalog with one corpus, a model version, and an index version in building."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from embedloop.catalog import corpora, index_versions, models
from embedloop.catalog.database import Database, now
from embedloop.policy import Chunking, IndexSettings, Policy
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion

CORPUS = "papers"


@pytest.fixture
def catalog(database: Database) -> Database:
    model = ModelVersion("m-1", "base", None, None, None, 32, 64, "", "", "onnx", {}, {}, now())
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
        corpora.add(connection, "other", Policy())
        models.add(connection, model)
    return database


@pytest.fixture
def add_version(catalog: Database) -> Callable[..., IndexVersion]:
    def add(name: str, **fields: Any) -> IndexVersion:
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
        version = IndexVersion(index_version_id=name, **(settings | fields))
        with catalog.write() as connection:
            index_versions.add(connection, version)
        return version

    return add
