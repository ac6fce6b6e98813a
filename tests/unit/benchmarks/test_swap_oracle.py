from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.swap_oracle import TOLERANCE, Answer, Oracle
from embedloop.encoder import Encoder, OnnxEncoder
from embedloop.text.chunking import embedding_text
from tests.tiny_model import build_tiny_model
from training.export import export_onnx

QUERIES = ("a nose that bleeds", "pain in the head")
TEXTS = [
    ("epistaxis", "bleeding from the nose"),
    ("", "a sudden pain"),
    ("migraine", ""),
    ("cough", "at night"),
]
BUILT_BY = {"iv-a": "a", "iv-b": "b", "iv-wide": "wide"}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    """Two models of one dimension, and one of another."""
    made: dict[str, Encoder] = {}
    for name, dimension, seed in (("a", 32, 1), ("b", 32, 2), ("wide", 48, 3)):
        folder = build_tiny_model(tmp_path_factory.mktemp(name), dimension=dimension, seed=seed)
        export_onnx(folder)
        made[name] = OnnxEncoder(folder, max_tokens=64, threads=1)
    return made


@pytest.fixture(scope="module")
def oracle(encoders: dict[str, Encoder]) -> Oracle:
    return Oracle(encoders, QUERIES, TEXTS, BUILT_BY)


def scores_of(encoder: Encoder, query: int, passages: Sequence[int]) -> list[float]:
    """As Milvus computes them: one by one, from vectors that were encoded one by one."""
    vector = encoder.encode_queries([QUERIES[query]])[0]
    texts = [embedding_text(*TEXTS[number]) for number in passages]
    return [float(encoder.encode_passages([text])[0] @ vector) for text in texts]


def answer_of(
    encoders: dict[str, Encoder], makers: Sequence[str], *, named: str, index_version: str, query: int = 0
) -> Answer:
    """Passage n is scored by the n-th maker."""
    passages = tuple(
        (number, scores_of(encoders[maker], query, [number])[0]) for number, maker in enumerate(makers)
    )
    return Answer(query, index_version, named, passages)


@pytest.mark.parametrize("model", ["a", "b", "wide"])
@pytest.mark.parametrize("query", [0, 1])
def test_answer_is_right_when_its_own_model_gives_every_score(
    encoders: dict[str, Encoder], oracle: Oracle, model: str, query: int
) -> None:
    answer = answer_of(encoders, [model] * 4, named=model, index_version=f"iv-{model}", query=query)
    assert oracle.makers(answer) == [model]
    found = oracle.judge([answer])
    assert {name: found[name] for name in ("checked", "mixed", "misnamed", "empty", "ambiguous")} == {
        "checked": 1,
        "mixed": 0,
        "misnamed": 0,
        "empty": 0,
        "ambiguous": 0,
    }


@pytest.mark.parametrize("other", ["b", "wide"])
@pytest.mark.parametrize("place", range(4))
def test_one_passage_of_another_model_makes_an_answer_mixed(
    encoders: dict[str, Encoder], oracle: Oracle, other: str, place: int
) -> None:
    makers = ["a"] * 4
    makers[place] = other
    found = oracle.judge([answer_of(encoders, makers, named="a", index_version="iv-a")])
    assert found["mixed"] == 1
    assert "mixed" in found["examples"][0]


def test_query_encoded_by_another_model_of_the_same_dimension_makes_an_answer_mixed(
    encoders: dict[str, Encoder], oracle: Oracle
) -> None:
    vector = encoders["b"].encode_queries([QUERIES[0]])[0]
    stored = encoders["a"].encode_passages([embedding_text(*text) for text in TEXTS])
    passages = tuple(enumerate(map(float, stored @ vector)))
    assert oracle.judge([Answer(0, "iv-a", "a", passages)])["mixed"] == 1


def test_whole_answer_of_another_model_than_it_names_is_misnamed(
    encoders: dict[str, Encoder], oracle: Oracle
) -> None:
    answers = [
        answer_of(encoders, ["b"] * 4, named="a", index_version="iv-a"),
        answer_of(encoders, ["a"] * 4, named="a", index_version="iv-b"),
        answer_of(encoders, ["a"] * 4, named="a", index_version="iv-unknown"),
    ]
    found = oracle.judge(answers)
    assert (found["misnamed"], found["mixed"]) == (3, 0)
    assert found["by_model"] == {"a": 3}


def test_answer_that_shows_nothing_is_told_apart_and_not_taken_for_right(oracle: Oracle) -> None:
    found = oracle.judge([Answer(0, "iv-a", "a", ())])
    assert (found["empty"], found["mixed"], found["ambiguous"]) == (1, 0, 0)


def test_score_that_differs_by_more_than_the_tolerance_is_not_explained(
    encoders: dict[str, Encoder], oracle: Oracle
) -> None:
    score = scores_of(encoders["a"], 0, [0])[0]
    near, far = score + 0.5 * TOLERANCE, score + 2 * TOLERANCE
    assert oracle.makers(Answer(0, "iv-a", "a", ((0, near),))) == ["a"]
    assert oracle.makers(Answer(0, "iv-a", "a", ((0, far),))) == []


def test_answer_that_two_models_explain_is_right_and_counted_as_ambiguous(encoders: dict[str, Encoder]) -> None:
    twins = {"a": encoders["a"], "copy": encoders["a"]}
    answer = answer_of(encoders, ["a"] * 4, named="a", index_version="iv-a")
    found = Oracle(twins, QUERIES, TEXTS, BUILT_BY).judge([answer])
    assert (found["ambiguous"], found["mixed"], found["misnamed"]) == (1, 0, 0)


def test_models_of_the_test_differ_by_far_more_than_the_tolerance(encoders: dict[str, Encoder]) -> None:
    by_model = [scores_of(encoder, 0, range(4)) for encoder in encoders.values()]
    for number, one in enumerate(by_model):
        for other in by_model[number + 1 :]:
            assert np.abs(np.subtract(one, other)).min() > 10 * TOLERANCE
