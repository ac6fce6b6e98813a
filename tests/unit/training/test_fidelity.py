from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from embedloop.encoder import Vectors
from embedloop.errors import InvalidInput, ModelRefused
from embedloop.recipe.compression import ExportSettings
from training.fidelity import Measured, choose, measure
from training.general import GeneralSet

PASSAGES = [f"passage {number}" for number in range(20)]
JUDGED = GeneralSet(
    "dev",
    queries={f"q{number}": f"query {number}" for number in range(20)},
    documents={f"d{number}": text for number, text in enumerate(PASSAGES)},
    qrels={f"q{number}": {f"d{number}": 1} for number in range(20)},
)


class FakeEncoder:
    """Points on the circle by the number in the text; `shift` moves the passages along it, in steps."""

    dimension = 2
    max_tokens = 8

    def __init__(self, shift: float = 0.0):
        self._shift = shift

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._points(texts, 0.0)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._points(texts, self._shift)

    def _points(self, texts: Sequence[str], shift: float) -> Vectors:
        angles = [2 * np.pi * (int(text.split()[-1]) + shift) / 20 for text in texts]
        return np.array([[np.cos(one), np.sin(one)] for one in angles], dtype=np.float32)


def measured(graph: str, rate: float, *, cosine: float = 1.0, drop: float = 0.0) -> Measured:
    return Measured(graph, cosine, cosine, 1.0, 0.7, drop, 5.0, rate)


def test_graph_with_the_same_vectors_loses_nothing() -> None:
    full, same = measure({"fp32": FakeEncoder(), "dynamic": FakeEncoder()}, JUDGED)
    assert (full.ndcg, same.ndcg, same.ndcg_drop, same.overlap) == (1.0, 1.0, 0.0, 1.0)
    assert same.lowest_cosine == pytest.approx(1.0, abs=1e-6)
    assert full.passages_per_second > 0
    assert same.query_ms > 0


def test_graph_that_moves_passages_is_told_by_cosine_overlap_and_what_it_loses() -> None:
    _, moved = measure({"fp32": FakeEncoder(), "static": FakeEncoder(shift=1.0)}, JUDGED)
    assert moved.lowest_cosine == pytest.approx(np.cos(2 * np.pi / 20), abs=1e-5)
    assert moved.mean_cosine == pytest.approx((1 + np.cos(2 * np.pi / 20)) / 2, abs=1e-5)
    assert 0.8 <= moved.overlap < 1.0
    assert 0.37 <= round(moved.ndcg_drop, 2) <= 0.5


def test_further_texts_are_among_what_is_ranked() -> None:
    (alone,) = measure({"fp32": FakeEncoder()}, JUDGED)
    (crowded,) = measure({"fp32": FakeEncoder()}, JUDGED, [f"further {number}" for number in range(20)])
    assert crowded.ndcg <= alone.ndcg
    with pytest.raises(InvalidInput, match="fp32"):
        measure({"dynamic": FakeEncoder()}, JUDGED)


def test_work_that_must_stop_stops_between_two_batches() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure({"fp32": FakeEncoder()}, JUDGED, check=stop)


def test_fastest_faithful_graph_is_chosen() -> None:
    found = [measured("fp32", 20), measured("dynamic", 35), measured("static", 45, drop=0.006)]
    choice = choose(found, ExportSettings(precision="auto"))
    assert choice.graph == "dynamic"
    assert choice.to_json()["graphs"][2]["faults"] == ["loses 0.60% of nDCG@10, at most 0.50% may be lost"]


def test_int8_that_is_no_faster_gives_way_to_fp32_only_when_the_policy_lets_it() -> None:
    found = [measured("fp32", 20), measured("dynamic", 15)]
    assert choose(found, ExportSettings(precision="auto")).graph == "fp32"
    assert choose(found, ExportSettings(precision="int8")).graph == "dynamic"


def test_int8_that_is_not_faithful_is_refused_where_the_policy_wants_it() -> None:
    found = [measured("fp32", 20), measured("dynamic", 35, cosine=0.9), measured("static", 45, drop=0.1)]
    with pytest.raises(ModelRefused, match=r"dynamic: lowest cosine 0\.9000.*static: loses 10") as refusal:
        choose(found, ExportSettings(precision="int8"))
    assert refusal.value.field == "policy.export.precision"
