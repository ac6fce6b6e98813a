"""What a Milvus server can do, by what it reports of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from embedloop.capabilities import (
    LITE_INDEX_TYPES,
    AliasedDrop,
    Capabilities,
    ServerKind,
    capabilities_of,
    every_server_can,
    server_of,
)
from embedloop.errors import InvalidInput, Misconfigured
from embedloop.policy import IndexSettings, IndexType, MetricType, VectorType

OLD_TYPES = {"FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "DISKANN", "AUTOINDEX"}


def reported(text: str) -> Capabilities:
    return capabilities_of(*server_of(text))


@pytest.mark.parametrize(
    ("text", "kind", "version"),
    [
        ("milvus_lite-3.2.2", ServerKind.LITE, "3.2.2"),
        ("v2.3.5-lite", ServerKind.MILVUS, "2.3.5"),
        ("v2.6.4", ServerKind.MILVUS, "2.6.4"),
        ("2.6-20250901-abcdef", ServerKind.MILVUS, "2.6"),
        ("Zilliz Cloud Vector Database(Compatible with Milvus 2.5)", ServerKind.MILVUS, "2.5"),
        ("master-abcdef", ServerKind.MILVUS, "master-abcdef"),
    ],
)
def test_a_server_is_known_by_what_it_reports(text: str, kind: ServerKind, version: str) -> None:
    assert server_of(text) == (kind, version)


@pytest.mark.parametrize(
    ("text", "types", "bm25", "templates", "iterators", "drop"),
    [
        ("milvus_lite-3.2.2", LITE_INDEX_TYPES, True, False, True, AliasedDrop.TAKES_THE_ALIAS),
        ("v2.3.5-lite", OLD_TYPES, False, False, False, AliasedDrop.LEAVES_THE_ALIAS),
        ("v2.4.23", OLD_TYPES, False, False, False, AliasedDrop.LEAVES_THE_ALIAS),
        ("v2.5.4", OLD_TYPES | {"HNSW_SQ"}, True, True, True, AliasedDrop.LEAVES_THE_ALIAS),
        ("v2.5.5", OLD_TYPES | {"HNSW_SQ"}, True, True, True, AliasedDrop.REFUSED),
        ("v2.6.0", OLD_TYPES | {"HNSW_SQ", "IVF_RABITQ"}, True, True, True, AliasedDrop.REFUSED),
        ("v3.0.1", OLD_TYPES | {"HNSW_SQ", "IVF_RABITQ"}, True, True, True, AliasedDrop.REFUSED),
        ("master-abcdef", OLD_TYPES, False, False, False, AliasedDrop.LEAVES_THE_ALIAS),
    ],
)
def test_capabilities_follow_kind_and_version(
    text: str, types: set[str], bm25: bool, templates: bool, iterators: bool, drop: AliasedDrop
) -> None:
    able = reported(text)
    assert able.index_types == types
    assert (able.bm25, able.filter_templates, able.iterator_timestamps) == (bm25, templates, iterators)
    assert able.aliased_drop is drop


@pytest.mark.parametrize(
    ("text", "every_page"),
    [("v2.3.5-lite", True), ("v2.3.22", True), ("v2.4.0", False), ("v2.6.4", False), ("master-abcdef", False)],
)
def test_only_servers_before_2_4_order_every_page(text: str, every_page: bool) -> None:
    assert reported(text).orders_every_page is every_page
    assert not reported("milvus_lite-3.2.2").orders_every_page


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("v2.2.16", "Milvus 2.2.16 is too old: Embedloop needs 2.3 or later"),
        ("milvus_lite-3.1.9", "Milvus Lite 3.1.9 is too old: Embedloop needs 3.2 or later"),
    ],
)
def test_a_server_older_than_what_is_supported_is_refused(text: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told) as refusal:
        reported(text)
    assert not refusal.value.retryable


def test_a_setting_that_the_server_cannot_do_is_refused_by_its_field_with_what_it_can() -> None:
    with pytest.raises(InvalidInput) as refusal:
        reported("v2.3.5").require(IndexSettings(index_type="IVF_RABITQ"))
    assert refusal.value.field == "policy.index.index_type"
    assert refusal.value.message == (
        "policy.index.index_type: Milvus 2.3.5 cannot do IVF_RABITQ;"
        " it can do AUTOINDEX, DISKANN, FLAT, HNSW, IVF_FLAT, IVF_SQ8"
    )


def test_a_metric_that_the_server_cannot_do_is_refused_by_its_field() -> None:
    able = replace(reported("v2.6.4"), metric_types=frozenset({"COSINE", "IP"}))
    able.require(IndexSettings(metric_type="IP"))
    with pytest.raises(InvalidInput, match=r"Milvus 2\.6\.4 cannot do L2; it can do COSINE, IP") as refusal:
        able.require(IndexSettings(metric_type="L2"))
    assert refusal.value.field == "policy.index.metric_type"


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("milvus_lite-3.2.2", {"float32"}),
        ("v2.3.5-lite", {"float32", "binary"}),
        ("v2.4.0", {"float32", "binary", "float16", "bfloat16"}),
        ("v2.5.4", {"float32", "binary", "float16", "bfloat16"}),
        ("v2.6.0", set(get_args(VectorType))),
        ("master-abcdef", {"float32", "binary"}),
    ],
)
def test_vector_types_follow_kind_and_version(text: str, types: set[str]) -> None:
    able = reported(text)
    assert able.vector_types == types == set(able.told()["vector_types"])
    for vector_type in get_args(VectorType):
        index_type = "FLAT" if vector_type == "binary" else "HNSW"
        settings = IndexSettings(vector_type=vector_type, index_type=index_type)
        assert every_server_can(settings) == (vector_type == "float32")
        if vector_type in types:
            able.require(settings)
            continue
        with pytest.raises(InvalidInput, match=f"cannot do {vector_type}; it can do ") as refusal:
            able.require(settings)
        assert refusal.value.field == "policy.index.vector_type"


@pytest.mark.parametrize("metric_type", get_args(MetricType))
def test_every_server_can_rank_by_each_metric(metric_type: MetricType) -> None:
    settings = IndexSettings(metric_type=metric_type)
    assert every_server_can(settings)
    for oldest in ("milvus_lite-3.2.0", "v2.3.0"):
        reported(oldest).require(settings)


def test_bm25_is_refused_by_its_field_before_milvus_2_5() -> None:
    with pytest.raises(InvalidInput, match=r"Milvus 2\.4\.1 cannot do BM25; Milvus can from 2\.5") as refusal:
        reported("v2.4.1").require(IndexSettings(bm25=True))
    assert refusal.value.field == "policy.index.bm25"
    reported("v2.5.0").require(IndexSettings(bm25=True))
    assert not every_server_can(IndexSettings(bm25=True))


@pytest.mark.parametrize("index_type", get_args(IndexType))
def test_no_server_is_asked_about_what_the_oldest_of_each_kind_can_do(index_type: IndexType) -> None:
    oldest = [reported("milvus_lite-3.2.0"), reported("v2.3.0")]
    settings = IndexSettings(index_type=index_type)
    assert every_server_can(settings) == all(index_type in one.index_types for one in oldest)


def test_each_index_type_of_the_policy_can_be_had_from_some_server() -> None:
    assert (
        set(get_args(IndexType)) == reported("v2.6.0").index_types | reported("milvus_lite-3.2.2").index_types
    )


def test_capabilities_are_told_as_json() -> None:
    told = reported("v2.6.4").told()
    assert (told["server"], told["kind"], told["bm25"]) == ("2.6.4", "milvus", True)
    assert "IVF_RABITQ" in told["index_types"]
