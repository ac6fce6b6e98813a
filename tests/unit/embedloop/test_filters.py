"""No text from outside becomes part of a filter's grammar."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from embedloop.filters import MAX_DEPTH, And, Compare, Filter, Not, Or, expression

FILTERS: TypeAdapter[Filter] = TypeAdapter(Filter)
ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


def read_literal(text: str) -> tuple[str, str]:
    """Reads one string literal as Milvus' grammar does; returns its value and what follows it."""
    assert text[0] == '"'
    value, position = [], 1
    while text[position] != '"':
        if text[position] == "\\":
            value.append(ESCAPES[text[position + 1]])
            position += 2
            continue
        assert text[position] not in "\r\n"
        value.append(text[position])
        position += 1
    return "".join(value), text[position + 1 :]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_string_is_one_literal_that_reads_back_as_itself(value: str) -> None:
    written = expression(Compare(field="lang", op="eq", value=value))
    assert written.startswith('metadata["lang"] == ')
    assert read_literal(written.removeprefix('metadata["lang"] == ')) == (value, "")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_list_of_strings_is_a_list_of_literals(values: list[str]) -> None:
    rest = expression(Compare(field="document_id", op="in", value=tuple(values))).removeprefix(
        "document_id in ["
    )
    for position, value in enumerate(values):
        found, rest = read_literal(rest)
        assert found == value
        rest = rest.removeprefix(", ") if position < len(values) - 1 else rest
    assert rest == "]"


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_numbers_and_truth_are_written_as_themselves(value: Any) -> None:
    written = expression(Compare(field="year", op="ge", value=value)).removeprefix('metadata["year"] >= ')
    if isinstance(value, bool):
        assert written == str(value).lower()
    else:
        assert type(value)(written) == value


def test_expressions_of_every_node() -> None:
    one = Compare(field="year", op="lt", value=3)
    two = Compare(field="document_id", op="ne", value="d")
    assert (
        expression(And.model_validate({"and": [one, two]})) == '(metadata["year"] < 3) and (document_id != "d")'
    )
    assert expression(Or.model_validate({"or": [one, two]})) == '(metadata["year"] < 3) or (document_id != "d")'
    assert expression(Not.model_validate({"not": one})) == 'not (metadata["year"] < 3)'
    assert (
        expression(Compare(field="year", op="in", value=(1, 2)))
        == '(metadata["year"] == 1 or metadata["year"] == 2)'
    )


def test_a_tree_is_read_from_json() -> None:
    tree = FILTERS.validate_json(
        '{"and": [{"field": "a", "op": "eq", "value": true},'
        ' {"not": {"or": [{"field": "b", "op": "in", "value": ["x", 1]}]}}]}'
    )
    assert expression(tree) == (
        '(metadata["a"] == true) and (not (((metadata["b"] == "x" or metadata["b"] == 1))))'
    )


@pytest.mark.parametrize(
    "given_filter",
    [
        {"field": "a b", "op": "eq", "value": 1},
        {"field": 'a"] == 1 or metadata["b', "op": "eq", "value": 1},
        {"field": "", "op": "eq", "value": 1},
        {"field": "a", "op": "like", "value": "x"},
        {"field": "a", "op": "in", "value": 1},
        {"field": "a", "op": "in", "value": []},
        {"field": "a", "op": "eq", "value": [1]},
        {"field": "a", "op": "eq", "value": None},
        {"field": "a", "op": "eq", "value": {"x": 1}},
        {"field": "a", "op": "eq", "value": math.nan},
        {"field": "a", "op": "eq", "value": math.inf},
        {"field": "a", "op": "eq", "value": 1, "extra": 1},
        {"and": []},
        {"and": [{"field": "a", "op": "eq", "value": 1}], "or": []},
        {},
    ],
)
def test_a_wrong_filter_is_refused(given_filter: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FILTERS.validate_python(given_filter)


def test_a_tree_that_is_too_deep_is_refused() -> None:
    tree: Filter = Compare(field="a", op="eq", value=1)
    for _ in range(MAX_DEPTH):
        tree = Not.model_validate({"not": tree})
    assert expression(tree).count("not") == MAX_DEPTH
    with pytest.raises(ValueError, match=f"at most {MAX_DEPTH} levels"):
        expression(Not.model_validate({"not": tree}))
