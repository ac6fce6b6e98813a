from __future__ import annotations

import ir_measures
import numpy as np
import pytest

from embedloop.demo.metrics import METRICS, compare, interval, rank_of, scores
from embedloop.errors import InvalidInput

MEASURES = {
    "hit@1": ir_measures.Success @ 1,
    "hit@5": ir_measures.Success @ 5,
    "ndcg@10": ir_measures.nDCG @ 10,
    "precision@5": ir_measures.P @ 5,
    "recall@10": ir_measures.R @ 10,
}


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("rank", [1, 2, 5, 6, 10, 11, None])
def test_formulas_agree_with_trec_eval(metric: str, rank: int | None) -> None:
    qrels = [ir_measures.Qrel("q", "right", 1)]
    run = [
        ir_measures.ScoredDoc("q", f"wrong{place}", -float(place)) for place in range(1, 13) if place != rank
    ]
    if rank is not None:
        run.append(ir_measures.ScoredDoc("q", "right", -float(rank)))
    wanted = ir_measures.calc_aggregate([MEASURES[metric]], qrels, run)[MEASURES[metric]]
    assert scores([rank], metric) == [pytest.approx(wanted)]


def test_rank_counts_documents_not_passages() -> None:
    assert rank_of(["a", "a", "b", "a", "c"], "c") == 3
    assert rank_of(["a"], "c") is None


def test_interval_of_a_share_is_that_of_the_normal_approximation() -> None:
    values = [1.0] * 300 + [0.0] * 100
    got = interval(values, seed=1)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert got.mean == 0.75
    assert got.low == pytest.approx(0.75 - half, abs=0.008)
    assert got.high == pytest.approx(0.75 + half, abs=0.008)


def test_interval_is_the_same_for_the_same_seed_only() -> None:
    values = list(np.random.default_rng(0).random(97))
    assert interval(values, seed=1) == interval(values, seed=1)
    assert interval(values, seed=1) != interval(values, seed=2)


def test_interval_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="got 0"):
        interval([], seed=1)


def test_uplift_is_paired_query_by_query() -> None:
    before: list[int | None] = [1, None] * 100
    after: list[int | None] = [1, 5] * 100
    compared = compare(before, after, seed=1)
    assert compared["hit@5"].uplift.mean == pytest.approx(0.5)
    assert compared["hit@1"].uplift.low == compared["hit@1"].uplift.high == 0.0
    shifted = compare([1, None] * 100, [None, 1] * 100, seed=1)["hit@1"].uplift
    assert shifted.low < 0 < shifted.high


def test_runs_over_different_queries_are_refused() -> None:
    with pytest.raises(InvalidInput, match="got 1 and 2"):
        compare([1], [1, 2], seed=1)
