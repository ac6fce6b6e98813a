"""How a collection is laid out in Milvus: its fields, its BM25 function and its indexes."""

from __future__ import annotations

from typing import Any

from pymilvus import DataType, Function, FunctionType, MilvusClient

from embedloop.index_parameters import build_parameters
from embedloop.index_rows import MAX_TEXT_BYTES, MAX_TITLE_BYTES
from embedloop.policy import IndexSettings


def collection_schema(dimension: int, settings: IndexSettings) -> Any:
    """The fields of a row; with BM25 Milvus makes the sparse vector `words` of the text by itself."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("passage_id", DataType.VARCHAR, is_primary=True, max_length=32)
    schema.add_field("document_id", DataType.VARCHAR, max_length=1024)
    schema.add_field("rev", DataType.INT64)
    schema.add_field("ordinal", DataType.INT64)
    schema.add_field("title", DataType.VARCHAR, max_length=MAX_TITLE_BYTES)
    schema.add_field("text", DataType.VARCHAR, max_length=MAX_TEXT_BYTES, enable_analyzer=settings.bm25 or None)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    if settings.bm25:
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(Function("bm25", FunctionType.BM25, ["text"], ["words"]))
    return schema


def index_parameters(settings: IndexSettings) -> Any:
    """The indexes over the vector and, with BM25, over the words."""
    parameters = MilvusClient.prepare_index_params()
    parameters.add_index(
        field_name="vector",
        index_type=settings.index_type,
        metric_type=settings.metric_type,
        params=build_parameters(settings),
    )
    if settings.bm25:
        parameters.add_index(field_name="words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    return parameters
