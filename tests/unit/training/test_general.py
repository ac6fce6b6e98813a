from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from embedloop.text.normalise import query_key
from training.general import (
    GeneralSet,
    packaged_general_set,
    packaged_pairs,
    read_general_sets,
    score_general,
    write_general_sets,
)

SMALL = GeneralSet("small", {"q1": "a", "q2": "b"}, {"a": "a", "b": "c"}, {"q1": {"a": 1}, "q2": {"b": 1}})
OTHER = GeneralSet("other", {"q1": "b"}, {"a": "a", "b": "b"}, {"q1": {"a": 1}})


def letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """Each text is the axis of its first letter."""
    return np.eye(26, dtype=np.float32)[[ord(text[0]) - ord("a") for text in texts]]


def test_packaged_set_judges_every_query_on_a_document_that_it_holds() -> None:
    general = packaged_general_set()
    assert len(general.queries) == 300
    assert len(general.documents) == 600
    assert general.qrels.keys() == general.queries.keys()
    assert all(set(grades) <= general.documents.keys() for grades in general.qrels.values())


def test_packaged_pairs_share_neither_question_nor_document_with_the_packaged_set() -> None:
    general, pairs = packaged_general_set(), packaged_pairs()
    assert len(pairs) == 3000
    assert {pair.identity for pair in pairs}.isdisjoint(general.documents)
    assert {query_key(pair.anchor) for pair in pairs}.isdisjoint(map(query_key, general.queries.values()))


def test_every_query_of_all_sets_counts_once_and_among_its_own_documents() -> None:
    scores = score_general([SMALL, OTHER], letters, letters)
    second = 1 / math.log2(3)
    expected = {"small/q1": 1.0, "small/q2": second, "other/q1": second}
    assert scores.per_query["ndcg@10"] == pytest.approx(expected)
    assert scores.mean["ndcg@10"] == pytest.approx((1 + 2 * second) / 3)


def test_no_set_cannot_be_scored() -> None:
    with pytest.raises(InvalidInput, match="relevant"):
        score_general([], letters, letters)


def test_sets_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_general_sets([SMALL, OTHER], tmp_path / "sets.json")
    assert read_general_sets(tmp_path / "sets.json") == [SMALL, OTHER]


@pytest.mark.parametrize("content", ["{", "[1]", '[{"name": "x"}]'])
def test_file_that_holds_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "sets.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"sets\.json"):
        read_general_sets(tmp_path / "sets.json")
