"""Ids, documents, metadata and filters: what is refused, and by which name."""

from __future__ import annotations

from typing import Any

import pytest

from embedloop.errors import InvalidInput, TooLarge
from embedloop.filters import expression
from service.validation import checked_document, checked_document_id, checked_metadata, parsed_filter


@pytest.mark.parametrize("good", ["a", "a/b", "é ?#%", "x" * 256, "..", "漢字", "documents:bulk"])
def test_printable_id_is_taken_as_it_is(good: str) -> None:
    assert checked_document_id(good) == good


@pytest.mark.parametrize("bad", ["", "x" * 257, "a\n", "a\0", "\x7f", "\ud800", 3, None])
def test_other_ids_are_refused_by_name(bad: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_document_id(bad, "id")
    assert refused.value.field == "id"


@pytest.mark.parametrize(
    ("title", "text", "field"),
    [("", " \n", "text"), ("x" * 2001, "a", "title"), ("a\0", "a", "title"), ("", "a\0", "text")],
)
def test_bad_document_is_refused_by_name(title: str, text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_document("d", title, text, {}, max_chars=1000)
    assert refused.value.field == field


def test_too_long_text_is_too_large_and_a_title_alone_is_enough() -> None:
    assert checked_document("d", "title", "", {}, max_chars=10).title == "title"
    with pytest.raises(TooLarge) as refused:
        checked_document("d", "", "x" * 11, {}, max_chars=10)
    assert refused.value.field == "text"


def test_flat_metadata_is_taken() -> None:
    metadata = {"a": "x", "b_1": 3, "_c": 1.5, "d": True, "e": ["x", "y"]}
    assert checked_metadata(metadata) == metadata


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"a b": 1}, "metadata"),
        ({"1a": 1}, "metadata"),
        ({"a": None}, "metadata.a"),
        ({"a": {"b": 1}}, "metadata.a"),
        ({"a": [1]}, "metadata.a"),
        ({"a": ["x"] * 257}, "metadata.a"),
        ({"a": "x" * 4001}, "metadata.a"),
        ({"a": "x\0"}, "metadata.a"),
        ({"a": 2**63}, "metadata.a"),
        ({"a": float("nan")}, "metadata.a"),
        ({f"k{i}": 1 for i in range(65)}, "metadata"),
        ({f"k{i}": "x" * 4000 for i in range(20)}, "metadata"),
    ],
)
def test_other_metadata_is_refused_by_name(metadata: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_metadata(metadata)
    assert refused.value.field == field


def test_filter_tree_becomes_one_expression() -> None:
    tree = parsed_filter(
        {
            "and": [
                {"field": "year", "op": "ge", "value": 2020},
                {"not": {"or": [{"field": "document_id", "op": "in", "value": ['a"b', "é"]}]}},
            ]
        }
    )
    assert expression(tree) == '(metadata["year"] >= 2020) and (not ((document_id in ["a\\"b", "é"])))'


def nested(levels: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"field": "a", "op": "eq", "value": 1}
    for _ in range(levels):
        tree = {"not": tree}
    return tree


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("year > 3", "filter"),
        ([], "filter"),
        ({}, "filter.field"),
        ({"field": "a;b", "op": "eq", "value": 1}, "filter.field"),
        ({"field": "a", "op": "like", "value": 1}, "filter.op"),
        ({"field": "a", "op": "eq", "value": [1]}, "filter"),
        ({"field": "a", "op": "in", "value": []}, "filter.value"),
        ({"field": "a", "op": "eq", "value": None}, "filter.value"),
        ({"field": "a", "op": "eq", "value": "\0"}, "filter.value"),
        ({"field": "a", "op": "eq", "value": 2**64}, "filter.value"),
        ({"and": []}, "filter.and"),
        ({"and": {}}, "filter.and"),
        ({"and": [{"field": "a", "op": "eq", "value": 1}, {"or": [3]}]}, "filter.and.1.or.0"),
        ({"and": [{"field": "a", "op": "eq", "value": 1}], "extra": 1}, "filter.extra"),
    ],
)
def test_broken_filter_is_refused_by_its_place(raw: object, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed_filter(raw)
    assert refused.value.field == field


def test_filter_nests_eight_levels_and_no_more() -> None:
    assert expression(parsed_filter(nested(8))).count("not") == 8
    with pytest.raises(InvalidInput):
        parsed_filter(nested(9))
    with pytest.raises(InvalidInput):
        parsed_filter(nested(900))
