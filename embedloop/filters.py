"""A typed filter tree and its Milvus expression: no text from outside ever becomes part of the grammar."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scalar = str | int | Annotated[float, Field(allow_inf_nan=False)] | bool
_OPERATORS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "in": "in"}
MAX_DEPTH = 8
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class _Node(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Compare(_Node):
    """`field` is a key of the document's metadata, or `document_id`."""

    field: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    op: Literal["eq", "ne", "lt", "le", "gt", "ge", "in"]
    value: Scalar | Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _in_takes_a_list(self) -> Compare:
        if (self.op == "in") != isinstance(self.value, tuple):
            raise ValueError("op 'in' takes a list of values, every other op a single one")
        return self


class And(_Node):
    and_: Annotated[tuple[Filter, ...], Field(alias="and", min_length=1, max_length=32)]


class Or(_Node):
    or_: Annotated[tuple[Filter, ...], Field(alias="or", min_length=1, max_length=32)]


class Not(_Node):
    not_: Annotated[Filter, Field(alias="not")]


Filter = Compare | And | Or | Not
for _model in (And, Or, Not):
    _model.model_rebuild()


def expression(node: Filter, depth: int = 0) -> str:
    """The Milvus expression of a filter tree.

    >>> expression(Compare(field="year", op="ge", value=2020))
    'metadata["year"] >= 2020'

    Raises:
        ValueError: the tree is deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"a filter nests at most {MAX_DEPTH} levels")
    match node:
        case Compare():
            return _comparison(node)
        case And():
            return " and ".join(f"({expression(part, depth + 1)})" for part in node.and_)
        case Or():
            return " or ".join(f"({expression(part, depth + 1)})" for part in node.or_)
        case Not():
            return f"not ({expression(node.not_, depth + 1)})"


def _comparison(node: Compare) -> str:
    name = node.field if node.field == "document_id" else f"metadata[{_literal(node.field)}]"
    if not isinstance(node.value, tuple):
        return f"{name} {_OPERATORS[node.op]} {_literal(node.value)}"
    if name == "document_id":
        return f"{name} in [{', '.join(_literal(value) for value in node.value)}]"
    # Milvus Lite knows `in` for plain fields only.
    return "(" + " or ".join(f"{name} == {_literal(value)}" for value in node.value) + ")"


def _literal(value: Scalar) -> str:
    """A literal with no other escapes than those that Milvus and Milvus Lite share."""
    if not isinstance(value, str):
        return json.dumps(value)
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'
