"""Checks on what callers send that no schema says well: ids, metadata, documents, filter trees."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from embedloop.errors import InvalidInput, TooLarge
from embedloop.filters import MAX_DEPTH, And, Compare, Filter, Not, Or
from embedloop.records.documents import NewDocument
from service.problems import invalid_input

M = TypeVar("M", bound=BaseModel)

MAX_ID_CHARS = 256
MAX_TITLE_CHARS = 2_000
MAX_KEYS = 64
MAX_VALUE_CHARS = 4_000
MAX_LIST_ITEMS = 256
# Milvus stores at most 65,536 bytes in a JSON field.
MAX_METADATA_BYTES = 60_000
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_INT64 = range(-(2**63), 2**63)
_BRANCHES: Mapping[str, type[And] | type[Or] | type[Not]] = {"and": And, "or": Or, "not": Not}


def validated(model: type[M], value: Mapping[str, Any]) -> M:
    """A line of a bulk body as its schema has it. Raises InvalidInput that names the field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_input(error.errors()) from error


def checked_document_id(value: object, field: str = "document_id") -> str:
    """Raises InvalidInput unless it is 1..256 characters without control characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARS:
        raise InvalidInput(f"{field} must be 1..{MAX_ID_CHARS} characters, got {value!r:.80}", field=field)
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise InvalidInput(f"{field} must not hold control characters, got {value!r:.80}", field=field)
    return value


def checked_document(
    document_id: str, title: str, text: str, metadata: Mapping[str, Any], *, max_chars: int
) -> NewDocument:
    """A document that may be stored.

    Raises:
        InvalidInput: an empty document, a NUL character, or metadata that is not a flat object of small values.
        TooLarge: `text` is longer than `max_chars`.
    """
    if len(text) > max_chars:
        raise TooLarge(f"text holds at most {max_chars} characters, got {len(text)}", field="text")
    if len(title) > MAX_TITLE_CHARS:
        raise InvalidInput(f"title holds at most {MAX_TITLE_CHARS} characters, got {len(title)}", field="title")
    for field, value in (("title", title), ("text", text)):
        if "\0" in value:
            raise InvalidInput(f"{field} must not hold NUL characters", field=field)
    if not title.strip() and not text.strip():
        raise InvalidInput("a document needs a title or a text that is not blank", field="text")
    return NewDocument(document_id, title, text, checked_metadata(metadata))


def checked_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises InvalidInput unless it is flat, with at most 64 short keys and small values."""
    if len(metadata) > MAX_KEYS:
        raise InvalidInput(f"metadata holds at most {MAX_KEYS} keys, got {len(metadata)}", field="metadata")
    for key, value in metadata.items():
        if not _KEY.fullmatch(key):
            raise InvalidInput(
                f"a key of metadata is a letter or _, then letters, digits or _, at most 64, got {key!r:.80}",
                field="metadata",
            )
        _check_value(f"metadata.{key}", value)
    size = len(orjson.dumps(metadata))
    if size > MAX_METADATA_BYTES:
        raise InvalidInput(
            f"metadata holds at most {MAX_METADATA_BYTES} bytes as JSON, got {size}", field="metadata"
        )
    return metadata


def parsed_filter(raw: object, field: str = "filter", depth: int = 0) -> Filter:
    """A filter tree, with every error named by its place (`filter.and.0.value`).

    Raises:
        InvalidInput: it is no tree of comparisons, `and`, `or` and `not`, or nests too deeply.
    """
    if depth > MAX_DEPTH:
        raise InvalidInput(f"a filter nests at most {MAX_DEPTH} levels", field=field)
    if not isinstance(raw, dict):
        raise InvalidInput(f"{field} must be an object, got {raw!r:.80}", field=field)
    branch = next((name for name in _BRANCHES if name in raw), None)
    try:
        if branch is None:
            return _checked_comparison(Compare.model_validate(raw), field)
        inner = raw[branch]
        if branch == "not":
            parts: Any = parsed_filter(inner, f"{field}.not", depth + 1)
        elif isinstance(inner, list):
            parts = [parsed_filter(part, f"{field}.{branch}.{i}", depth + 1) for i, part in enumerate(inner)]
        else:
            raise InvalidInput(f"{field}.{branch} must be a list of filters", field=f"{field}.{branch}")
        return _BRANCHES[branch].model_validate({**raw, branch: parts})
    except ValidationError as error:
        raise invalid_input(error.errors(), field) from error


def _checked_comparison(node: Compare, field: str) -> Compare:
    for value in node.value if isinstance(node.value, tuple) else (node.value,):
        _check_scalar(f"{field}.value", value)
    return node


def _check_value(field: str, value: object) -> None:
    if not isinstance(value, list):
        _check_scalar(field, value)
        return
    if len(value) > MAX_LIST_ITEMS:
        raise InvalidInput(f"{field} holds at most {MAX_LIST_ITEMS} items, got {len(value)}", field=field)
    for item in value:
        if not isinstance(item, str):
            raise InvalidInput(f"{field} must be a list of texts, got {item!r:.80} in it", field=field)
        _check_scalar(field, item)


def _check_scalar(field: str, value: object) -> None:
    match value:
        case str():
            if len(value) > MAX_VALUE_CHARS:
                raise InvalidInput(f"{field} holds at most {MAX_VALUE_CHARS} characters", field=field)
            if "\0" in value:
                raise InvalidInput(f"{field} must not hold NUL characters", field=field)
        case bool():
            pass
        case int():
            if value not in _INT64:
                raise InvalidInput(f"{field} must fit 64 bits, got {value}", field=field)
        case float():
            if not math.isfinite(value):
                raise InvalidInput(f"{field} must be finite, got {value}", field=field)
        case _:
            raise InvalidInput(
                f"{field} must be a text, a number, true, false or a list of texts, got {value!r:.80}",
                field=field,
            )
