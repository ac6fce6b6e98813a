"""Which index version another one may take vectors from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from embedloop.catalog.database import now
from embedloop.copying import passage_key, source_of
from embedloop.policy import Chunking, IndexSettings, VectorType
from embedloop.query_map import QUERY_MAP_FILE, QUERY_MODEL_FOLDER
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion

PLAIN = ModelVersion(
    model_id="m-plain",
    base="tiny",
    parent=None,
    corpus=None,
    training_set_id=None,
    dimension=32,
    max_tokens=64,
    query_prompt="",
    passage_prompt="",
    backend="onnx",
    manifest={"model.safetensors": "a", "tokenizer.json": "b", "onnx/model.onnx": "c"},
    metrics={},
    created_at=now(),
)
MAPPED = replace(PLAIN, model_id="m-mapped", manifest={**PLAIN.manifest, QUERY_MAP_FILE: "d"})
OTHER = replace(PLAIN, model_id="m-other", manifest={**PLAIN.manifest, "model.safetensors": "z"})
MODELS = {model.model_id: model for model in (PLAIN, MAPPED, OTHER)}


def version(model: ModelVersion, state: IndexState, max_tokens: int = 192) -> IndexVersion:
    identity = f"iv-{model.model_id}-{state.value}"
    return IndexVersion(
        index_version_id=identity,
        corpus="notes",
        model_id=model.model_id,
        collection=identity,
        state=state,
        chunking=Chunking(max_tokens=max_tokens),
        index=IndexSettings(),
        head=0,
        applied_seq=0,
        backfilled=True,
        verification=None,
        served_at=None,
        retired_at=None,
        created_at=now(),
    )


BUILDING = version(MAPPED, IndexState.BUILDING)


def test_the_serving_version_with_the_same_passages_is_the_source() -> None:
    serving, standby = version(PLAIN, IndexState.SERVING), version(PLAIN, IndexState.STANDBY)
    assert source_of(BUILDING, [standby, BUILDING, serving], MODELS) == serving


def test_a_version_that_stands_by_is_the_source_when_another_encoder_serves() -> None:
    serving, standby = version(OTHER, IndexState.SERVING), version(PLAIN, IndexState.STANDBY)
    assert source_of(BUILDING, [serving, standby], MODELS) == standby


@pytest.mark.parametrize("state", [IndexState.BUILDING, IndexState.RETIRED])
def test_a_version_that_may_not_hold_everything_is_no_source(state: IndexState) -> None:
    assert source_of(BUILDING, [version(PLAIN, state)], MODELS) is None


def test_other_passages_are_no_source() -> None:
    cut_otherwise = version(PLAIN, IndexState.SERVING, max_tokens=32)
    assert source_of(BUILDING, [cut_otherwise], MODELS) is None
    assert source_of(BUILDING, [version(OTHER, IndexState.SERVING)], MODELS) is None


def test_building_what_serves_once_more_starts_from_the_texts() -> None:
    serving, standby = version(MAPPED, IndexState.SERVING), version(PLAIN, IndexState.STANDBY)
    assert source_of(BUILDING, [serving, standby], MODELS) is None


@pytest.mark.parametrize(
    "change",
    [
        {"passage_prompt": "passage: "},
        {"max_tokens": 32},
        {"backend": "torch"},
        {"manifest": {**PLAIN.manifest, "tokenizer.json": "x"}},
        {"manifest": {**PLAIN.manifest, "onnx/model.onnx": "x"}},
    ],
)
def test_whatever_changes_a_passages_vector_changes_the_key(change: dict[str, object]) -> None:
    assert passage_key(replace(PLAIN, **change)) != passage_key(PLAIN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"query_prompt": "query: "},
        {"metrics": {"gate": {}}},
        {"manifest": {**PLAIN.manifest, QUERY_MAP_FILE: "x", f"{QUERY_MODEL_FOLDER}/model.safetensors": "y"}},
    ],
)
def test_what_becomes_of_queries_does_not_change_the_key(change: dict[str, object]) -> None:
    assert passage_key(replace(PLAIN, **change)) == passage_key(PLAIN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "target", "may"),
    [
        ("float32", "binary", True),
        ("float32", "float16", True),
        ("binary", "binary", True),
        ("float16", "float16", True),
        ("binary", "float32", False),
        ("float16", "float32", False),
        ("int8", "binary", False),
    ],
)
def test_rounded_vectors_are_copied_only_to_where_they_are_rounded_alike(
    source: VectorType, target: VectorType, may: bool
) -> None:
    serving = replace(version(PLAIN, IndexState.SERVING), index=stored_as(source))
    building = replace(BUILDING, index=stored_as(target))
    assert (source_of(building, [serving], MODELS) == serving) is may


def stored_as(vector_type: VectorType) -> IndexSettings:
    return IndexSettings(vector_type=vector_type, index_type="FLAT" if vector_type == "binary" else "HNSW")
