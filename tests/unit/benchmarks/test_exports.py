"""The benchmark of exported forms: its texts, its figures, its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import exports_picture
from benchmarks.exports import AIMS, asked, known_texts, others, told
from benchmarks.training_sets import DEV, TEST, TRAIN, RankingSet
from tests.unit.benchmarks.test_pictures import HEAD, PNG
from training.fidelity import Measured

RANKING = RankingSet(
    name="small",
    documents={"a": "of a test query", "b": "of a training query", "c": "of nobody", "d": "of both"},
    queries={"test": "t", "train": "r", "dev": "v"},
    qrels={TRAIN: {"train": {"b": 1, "d": 1}}, DEV: {"dev": {"c": 1}}, TEST: {"test": {"a": 1, "d": 1}}},
)


def measured(graph: str, passages_per_second: float, ndcg_drop: float) -> Measured:
    return Measured(graph, 0.98, 0.99, 0.9, 0.7, ndcg_drop, 3.0, passages_per_second)


FORMS = [measured("torch", 20.0, 0.0), measured("fp32", 25.0, 0.0), measured("int8 dynamic", 50.0, 0.006)]


def test_no_document_of_a_test_query_calibrates() -> None:
    assert known_texts(RANKING) == ["of a training query"]


def test_every_document_is_ranked_once() -> None:
    ranked = [*asked(RANKING).documents.values(), *others(RANKING)]
    assert sorted(ranked) == sorted(RANKING.documents.values())


def test_only_int8_has_to_pass_the_gate() -> None:
    lossy = measured("fp32", 25.0, 0.006)
    assert told(lossy, FORMS)["faults"] == []
    assert told(FORMS[2], FORMS)["faults"] == ["loses 0.60% of nDCG@10, at most 0.50% may be lost"]


def test_forms_are_drawn_set_by_set(tmp_path: Path) -> None:
    one: dict[str, Any] = {
        "passages": 60,
        "queries": 16,
        "words_a_passage": 24.0,
        "forms": {form.graph: told(form, FORMS) for form in FORMS},
    }
    settings = {"base_model": "m", "aims": AIMS}
    exports_picture.draw(HEAD | {"settings": settings, "sets": {"hpo": one, "long": one}}, tmp_path / "e.png")
    assert (tmp_path / "e.png").read_bytes().startswith(PNG)
