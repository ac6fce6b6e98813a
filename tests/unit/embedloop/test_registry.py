"""Model versions: content-addressed, safetensors only, checked against their manifest."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from embedloop.catalog import models
from embedloop.catalog.database import Database
from embedloop.encoder import INT8_FILE, ONNX_FILE
from embedloop.errors import ModelRefused
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.recipe.compression import ExportSettings
from embedloop.records.versions import ModelVersion
from embedloop.registry import (
    EXPORT_FILE,
    ModelStore,
    check_folder,
    load_encoder,
    manifest_of,
    model_id_of,
    register,
    resolve_base,
    verified_folder,
)


@pytest.fixture
def folder(model_store: ModelStore, tiny: ModelVersion, tmp_path: Path) -> Path:
    """A copy of the tiny model, without its export, to be spoilt."""
    copy = tmp_path / "model"
    shutil.copytree(model_store.fetch(tiny.model_id), copy)
    (copy / ".complete").unlink()
    return copy


@pytest.fixture
def export(folder: Path) -> Callable[[Path], None]:
    """Takes the export that was made once, for a graph takes seconds to make."""
    graph = (folder / "onnx" / "model.onnx").read_bytes()
    shutil.rmtree(folder / "onnx")

    def write(copy: Path) -> None:
        (copy / "onnx").mkdir()
        (copy / "onnx" / "model.onnx").write_bytes(graph)

    return write


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(str(tmp_path / "store"), tmp_path / "cache")


def test_a_good_folder_is_accepted(folder: Path) -> None:
    check_folder(folder)


@pytest.mark.parametrize("name", ["modules.json", "config.json", "tokenizer.json"])
def test_a_folder_without_its_parts_is_refused_by_the_part(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelRefused, match=f"has no {name}"):
        check_folder(folder)


def test_weights_that_are_not_safetensors_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="no safetensors") as refusal:
        check_folder(folder)
    assert refusal.value.field == "base_model"


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_model_that_needs_its_own_code_is_refused(folder: Path, name: str) -> None:
    config = json.loads((folder / name).read_text())
    config["auto_map"] = {"AutoModel": "modeling.Evil"}
    (folder / name).write_text(json.dumps(config))
    with pytest.raises(ModelRefused, match="code of its own"):
        check_folder(folder)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_config_that_is_no_object_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelRefused, match=r"config\.json"):
        check_folder(folder)


def test_bases_are_named_or_absolute(tmp_path: Path, folder: Path) -> None:
    assert resolve_base(str(folder)) == folder
    assert (resolve_base(DEFAULT_BASE_MODEL) / "model.safetensors").is_file()
    for name in ("someone/model", "../model", str(tmp_path / "missing"), ""):
        with pytest.raises(ModelRefused) as refusal:
            resolve_base(name)
        assert refusal.value.field == "base_model"


def test_the_same_content_has_the_same_id_and_prompts_belong_to_it(folder: Path, tmp_path: Path) -> None:
    same = tmp_path / "same"
    shutil.copytree(folder, same)
    shutil.rmtree(same / "onnx")
    (same / "README.md").write_text("not part of the model")
    plain = model_id_of(folder, query_prompt="", passage_prompt="")
    assert model_id_of(same, query_prompt="", passage_prompt="") == plain
    assert model_id_of(folder, query_prompt="query: ", passage_prompt="") != plain
    assert model_id_of(folder, query_prompt="", passage_prompt="query: ") != model_id_of(
        folder, query_prompt="query: ", passage_prompt=""
    )
    (same / "config.json").write_text((same / "config.json").read_text() + " ")
    assert model_id_of(same, query_prompt="", passage_prompt="") != plain


def test_registering_twice_is_the_version_that_there_is(
    database: Database, store: ModelStore, folder: Path, export: Callable[[Path], None]
) -> None:
    first = register(database, store, folder, base="tiny", export=export, metrics={"loss": 1})
    calls: list[Path] = []
    again = register(database, store, folder, base="tiny", export=calls.append)
    assert again == first
    assert calls == []
    assert (first.dimension, first.max_tokens, first.base) == (32, 64, "tiny")
    assert "onnx/model.onnx" in first.manifest
    with database.read() as connection:
        assert models.every(connection) == [first]


def test_way_of_export_belongs_to_the_id_unless_it_is_plain(folder: Path) -> None:
    def identity(settings: ExportSettings) -> str:
        return model_id_of(folder, query_prompt="", passage_prompt="", settings=settings)

    plain = model_id_of(folder, query_prompt="", passage_prompt="")
    assert identity(ExportSettings(min_cosine=0.5)) == plain
    others = {identity(ExportSettings(precision=one)) for one in ("int8", "auto")}
    assert len(others | {plain, identity(ExportSettings(precision="int8", min_cosine=0.5))}) == 4


def test_graph_that_the_export_chose_is_the_one_that_encodes(
    database: Database, store: ModelStore, folder: Path, export: Callable[[Path], None]
) -> None:
    def both(copy: Path) -> None:
        export(copy)
        (copy / INT8_FILE).write_bytes((copy / ONNX_FILE).read_bytes())
        (copy / EXPORT_FILE).write_text(json.dumps({"backend": "onnx_int8", "graph": "dynamic"}))

    settings = ExportSettings(precision="int8")
    model = register(database, store, folder, base="tiny", export=both, settings=settings, metrics={"loss": 1})
    assert model.backend == "onnx_int8"
    assert model.metrics == {"loss": 1, "export": {"backend": "onnx_int8", "graph": "dynamic"}}
    assert {INT8_FILE, ONNX_FILE, EXPORT_FILE} <= set(model.manifest)
    assert load_encoder(store, model, threads=1, batch_size=8).dimension == 32
    graph = store.fetch(model.model_id) / INT8_FILE
    graph.write_bytes(graph.read_bytes() + b" ")
    with pytest.raises(ModelRefused, match=r"model_int8.*differs from its manifest"):
        load_encoder(store, model, threads=1, batch_size=8)


def test_backend_of_a_later_version_is_refused_by_its_name(
    database: Database, store: ModelStore, folder: Path, export: Callable[[Path], None]
) -> None:
    model = register(database, store, folder, base="tiny", export=export, backend="onnx_int2")
    with pytest.raises(ModelRefused, match="onnx_int2"):
        load_encoder(store, model, threads=1, batch_size=8)


def test_only_what_belongs_to_a_model_is_stored(
    database: Database, store: ModelStore, folder: Path, export: Callable[[Path], None]
) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling.py").write_text("raise SystemExit")
    model = register(database, store, folder, base="tiny", export=export)
    stored = {p.name for p in store.fetch(model.model_id).rglob("*") if p.is_file()}
    assert "model.safetensors" in stored
    assert stored.isdisjoint({"pytorch_model.bin", "modeling.py"})


def test_an_attempt_that_died_before_the_catalog_knew_is_taken_over(
    database: Database, store: ModelStore, folder: Path, export: Callable[[Path], None]
) -> None:
    """The second export differs in its bytes, as another version of torch would make it."""
    identity = model_id_of(folder, query_prompt="", passage_prompt="")
    before_crash = folder.parent / "before"
    shutil.copytree(folder, before_crash)
    export(before_crash)
    store.put(identity, before_crash)

    def other_bytes(copy: Path) -> None:
        export(copy)
        graph = copy / "onnx" / "model.onnx"
        graph.write_bytes(graph.read_bytes() + b"\x72\x01x")

    model = register(database, store, folder, base="tiny", export=other_bytes)
    assert model.model_id == identity
    assert verified_folder(store, model) == store.fetch(identity)


@pytest.mark.parametrize("name", ["model.safetensors", "onnx/model.onnx", "tokenizer.json"])
def test_a_file_that_was_tampered_with_or_is_gone_is_refused_by_name(
    database: Database, store: ModelStore, folder: Path, export: Callable[[Path], None], name: str
) -> None:
    model = register(database, store, folder, base="tiny", export=export)
    path = store.fetch(model.model_id) / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelRefused, match=f"'{name}'.*differs from its manifest"):
        load_encoder(store, model, threads=1, batch_size=8)
    path.unlink()
    with pytest.raises(ModelRefused, match=f"'{name}'"):
        load_encoder(store, model, threads=1, batch_size=8)


def test_what_was_put_stays_and_what_is_missing_is_named(store: ModelStore, tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "f" / "a.txt").write_text(content)
        store.put("name", tmp_path / "f")
    assert (store.fetch("name") / "a.txt").read_text() == "first"
    with pytest.raises(ModelRefused, match="'other'"):
        store.fetch("other")


def test_a_put_that_died_half_way_is_no_model_until_it_is_done_again(store: ModelStore, tmp_path: Path) -> None:
    source = tmp_path / "f"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_text("a")
    (source / "sub" / "b.txt").write_text("b")
    store.put("name", source)
    (tmp_path / "store" / "name" / ".complete").unlink()
    (tmp_path / "store" / "name" / "a.txt").write_text("torn")
    with pytest.raises(ModelRefused):
        store.fetch("name")
    store.put("name", source)
    assert (store.fetch("name") / "a.txt").read_text() == "a"


def test_a_remote_store_is_mirrored(tmp_path: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    source = tmp_path / "f"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_text("a")
    (source / "sub" / "b.txt").write_text("b")
    ModelStore(url, tmp_path / "one").put("name", source)
    reader = ModelStore(url, tmp_path / "two")
    fetched = reader.fetch("name")
    assert fetched == tmp_path / "two" / "name"
    assert manifest_of(fetched) == manifest_of(source)
    (fetched / "a.txt").write_text("changed here")
    assert (reader.fetch("name") / "a.txt").read_text() == "changed here"


def test_the_window_is_that_of_sentence_transformers(folder: Path) -> None:
    from embedloop.registry import max_tokens_of

    assert max_tokens_of(resolve_base(DEFAULT_BASE_MODEL)) == 256
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 48}))
    assert max_tokens_of(folder) == 48
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 10**30}))
    assert max_tokens_of(folder) == 64
