"""Model versions made of files that are there already and a map of queries: nothing is exported anew."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedloop.catalog.database import Database
from embedloop.query_map import QUERY_MAP_FILE, QUERY_MODEL_FOLDER, QueryMap
from embedloop.records.versions import ModelVersion
from embedloop.registry import ModelStore, register, verified_folder
from embedloop.static_models import RESCORER_FOLDER


def register_mapped(
    database: Database,
    store: ModelStore,
    passages: ModelVersion,
    query_map: QueryMap,
    *,
    queries: ModelVersion | None = None,
    corpus: str,
    training_set_id: str | None,
    metrics: Mapping[str, Any],
) -> ModelVersion:
    """Registers a model version whose passages are those of another one.

    Args:
        database: The catalog.
        store: Where the files are and go.
        passages: Encodes the passages, and the queries too unless another model does; it has no map itself.
        query_map: Leads from the queries' vectors to the passages'.
        queries: Encodes the queries, with its own prompt and, if it has one, its own map before this one.
        corpus: Corpus that the map was made for.
        training_set_id: What the queries' way was learnt from.
        metrics: What is known of its quality.

    Raises:
        ModelRefused: files differ from their manifest, or the map does not fit the models.
    """
    source = verified_folder(store, passages)

    def copy_graph(folder: Path) -> None:
        for one in (".", RESCORER_FOLDER):
            if (source / one / "onnx").is_dir():
                shutil.copytree(source / one / "onnx", folder / one / "onnx")

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _copy(source, folder, without=("onnx",))
        if queries is not None:
            _copy(verified_folder(store, queries), folder / QUERY_MODEL_FOLDER)
        query_map.save(folder)
        return register(
            database,
            store,
            folder,
            base=passages.base,
            export=copy_graph,
            query_prompt=(queries or passages).query_prompt,
            passage_prompt=passages.passage_prompt,
            backend=passages.backend,
            parent=passages.model_id,
            corpus=corpus,
            training_set_id=training_set_id,
            metrics=metrics,
        )


def has_map(model: ModelVersion) -> bool:
    """Whether its queries are mapped."""
    return QUERY_MAP_FILE in model.manifest


def _copy(source: Path, target: Path, without: tuple[str, ...] = ()) -> None:
    # What the store writes beside the files to say that they are all there is no part of them.
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".complete", *without))
