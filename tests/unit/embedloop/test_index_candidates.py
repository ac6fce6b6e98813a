"""Which index settings a trial tries, and what it proposes."""

from __future__ import annotations

from typing import Any

import pytest

from embedloop.index_candidates import bytes_a_row, candidates, described, name_of, proposal
from embedloop.policy import IndexSettings


def row(name: str, recall: float, ms: float) -> dict[str, Any]:
    vector_type, index_type = name.split("/")
    settings = {"vector_type": vector_type, "index_type": index_type, "rescore_factor": None}
    return {"name": name} | settings | {"recall_at_10": recall, "search_ms": {"p50": ms, "p95": 2 * ms}}


@pytest.mark.parametrize(
    "own",
    [
        IndexSettings(),
        IndexSettings(index_type="DISKANN", ef_search=300),
        IndexSettings(vector_type="binary", index_type="FLAT"),
        IndexSettings(index_type="IVF_SQ8", rescore_factor=9),
    ],
    ids=name_of,
)
def test_a_corpus_own_settings_come_first_and_nothing_is_tried_twice(own: IndexSettings) -> None:
    found = candidates(own)
    assert found[0] == own
    names = [name_of(one) for one in found]
    assert len(set(names)) == len(names)
    assert "binary/FLAT/64" in names
    # 16 is what null means for bits.
    assert ("binary/FLAT/16" in names) is (own.vector_type != "binary")


def test_candidates_differ_in_type_index_and_factor_alone() -> None:
    own = IndexSettings(metric_type="COSINE", bm25=True, m=32, ef_search=77)
    varied = set(described(own))
    for one in candidates(own):
        assert one.model_dump(exclude=varied) == own.model_dump(exclude=varied)


def test_types_that_need_the_cosine_are_left_out_with_another_metric() -> None:
    found = candidates(IndexSettings(metric_type="L2"))
    assert {one.vector_type for one in found} == {"float32", "float16", "bfloat16"}
    assert {one.metric_type for one in found} == {"L2"}


def test_every_other_row_is_smaller_than_that_of_hnsw_in_float32() -> None:
    first, *others = candidates(IndexSettings())
    whole = sum(bytes_a_row(first, 384).values())
    assert all(sum(bytes_a_row(one, 384).values()) < whole for one in others)


def test_a_faster_one_that_finds_enough_is_proposed_as_what_to_patch() -> None:
    said = proposal([row("float32/HNSW", 0.99, 7), row("binary/FLAT", 0.96, 3), row("int8/HNSW", 0.94, 1)])
    assert said.index == {"vector_type": "binary", "index_type": "FLAT", "rescore_factor": None}
    assert (
        "binary/FLAT finds 0.960 in 3.00 ms (p50), float32/HNSW of the policy 0.990 in 7.00 ms" in said.reason
    )


def test_what_is_hardly_faster_is_not_worth_a_re_embed() -> None:
    said = proposal([row("float32/HNSW", 0.99, 3.1), row("binary/FLAT", 0.96, 3)])
    assert said.index is None
    assert "is as fast as any" in said.reason


def test_settings_that_find_too_little_are_replaced_by_slower_ones_that_find_enough() -> None:
    said = proposal([row("float32/IVF_SQ8", 0.9, 1), row("float32/FLAT", 1.0, 9)])
    assert said.index == {"vector_type": "float32", "index_type": "FLAT", "rescore_factor": None}


def test_settings_that_the_server_refuses_are_replaced() -> None:
    own = {"name": "int8/HNSW", "vector_type": "int8", "index_type": "HNSW", "refused": "cannot do int8"}
    said = proposal([own, row("float32/FLAT", 1.0, 9)])
    assert said.index is not None
    assert said.reason.endswith("int8/HNSW of the policy was refused")


def test_nothing_is_proposed_where_nothing_finds_enough() -> None:
    said = proposal([row("float32/HNSW", 0.94, 7)])
    assert (said.index, said.reason) == (None, "none finds 0.95 of the nearest 10")
