"""How a collection is laid out in Milvus: its fields, its BM25 function and its indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymilvus import DataType, Function, FunctionType, MilvusClient

from embedloop.index_parameters import build_parameters, index_type_in_milvus, metric_in_milvus
from embedloop.index_rows import MAX_TEXT_BYTES, MAX_TITLE_BYTES
from embedloop.policy import IndexSettings, VectorType
from embedloop.vector_types import FINE_FIELD, VECTOR_FIELD, field_dimension, fine_characters

_DATA_TYPES: Mapping[VectorType, DataType] = {
    "float32": DataType.FLOAT_VECTOR,
    "float16": DataType.FLOAT16_VECTOR,
    "bfloat16": DataType.BFLOAT16_VECTOR,
    "int8": DataType.INT8_VECTOR,
    "binary": DataType.BINARY_VECTOR,
}


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
    stored = settings.vector_type
    schema.add_field(VECTOR_FIELD, _DATA_TYPES[stored], dim=field_dimension(dimension, stored))
    if stored == "binary":
        schema.add_field(FINE_FIELD, DataType.VARCHAR, max_length=fine_characters(dimension))
    if settings.bm25:
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(Function("bm25", FunctionType.BM25, ["text"], ["words"]))
    return schema


def index_parameters(settings: IndexSettings) -> Any:
    """The indexes over the vector and, with BM25, over the words."""
    parameters = MilvusClient.prepare_index_params()
    parameters.add_index(
        field_name=VECTOR_FIELD,
        index_type=index_type_in_milvus(settings),
        metric_type=metric_in_milvus(settings),
        params=build_parameters(settings),
    )
    if settings.bm25:
        parameters.add_index(field_name="words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    return parameters


def vector_type_of(description: Mapping[str, Any]) -> VectorType:
    """The type of a collection's vectors, from its description by pymilvus."""
    stored = next(field["type"] for field in description["fields"] if field["name"] == VECTOR_FIELD)
    return next(name for name, data_type in _DATA_TYPES.items() if data_type == stored)
