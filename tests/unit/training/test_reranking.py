"""A re-ranker of a few thousand weights: trained, stopped and resumed, exported, served without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from embedloop.errors import InvalidInput, JobCancelled, ModelRefused, TrainingFailed
from embedloop.recipe.reranking import RerankerTraining
from embedloop.reranker import RUN_PASSAGES, OnnxReranker
from tests.tiny_model import build_tiny_cross_encoder
from tests.unit.training.conftest import TOPICS, document, lay, synonym_pairs
from training.pairs import write_training_set
from training.reranker_export import check_reranker, export_reranker
from training.reranking import RerankerConfig, make_rows, train_reranker

Make = Callable[..., RerankerConfig]

WRONG = "help with today"


@pytest.fixture
def make(tiny_base: Path, tmp_path: Path) -> Make:
    def config(name: str = "out", **settings: Any) -> RerankerConfig:
        recipe = {"learning_rate": 5e-3, "threads": 1, "negatives": 1} | settings
        pairs = [replace(pair, negatives=(WRONG,)) for pair in synonym_pairs()]
        frozen = write_training_set(pairs, tmp_path / "sets").path
        return RerankerConfig(tiny_base, tmp_path / name, frozen, RerankerTraining(**recipe))

    return config


def run(config: RerankerConfig, stop_after: int | None = None) -> list[int]:
    steps: list[int] = []
    train_reranker(
        config,
        on_progress=lambda told: steps.append(told.step),
        should_stop=lambda: stop_after is not None and len(steps) > stop_after,
    )
    return steps


@pytest.fixture(scope="module")
def exported(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_tiny_cross_encoder(tmp_path_factory.mktemp("reranker") / "model", tiny_base)
    export_reranker(folder)
    return folder


def test_what_the_training_set_calls_relevant_is_scored_above_what_it_calls_wrong(make: Make) -> None:
    config = make(epochs=4.0)
    run(config)
    export_reranker(config.out / "model")
    reranker = OnnxReranker(config.out / "model", max_tokens=64, threads=1)
    for topic in range(TOPICS):
        right, wrong = reranker.score(f"{lay(topic)} today", [document(topic), WRONG])
        assert right > 0.5 > wrong


def test_stopped_training_resumes_to_the_same_weights(make: Make) -> None:
    whole, broken = make("whole"), make("broken")
    steps = run(whole)
    with pytest.raises(JobCancelled, match="can be resumed"):
        run(broken, stop_after=4)
    resumed = run(broken)
    assert resumed[0] > 0
    assert resumed[-1] == steps[-1]
    first, second = (load_file(one.out / "model" / "model.safetensors") for one in (whole, broken))
    assert all(first[name].equal(second[name]) for name in first)
    assert not (broken.out / "checkpoints").exists()


def test_checkpoints_of_another_recipe_are_refused(make: Make) -> None:
    with pytest.raises(JobCancelled):
        run(make(), stop_after=4)
    with pytest.raises(TrainingFailed, match="another configuration"):
        run(make(seed=14))


def test_hard_negatives_come_first_and_nothing_relevant_is_called_wrong() -> None:
    pairs = [replace(pair, negatives=()) for pair in synonym_pairs() if pair.split.value == "train"]
    pairs[0] = replace(pairs[0], negatives=("a hard one", pairs[0].positive))
    rows = make_rows(pairs, 3, seed=1)
    assert rows[:2] == [(pairs[0].anchor, pairs[0].positive, 1.0), (pairs[0].anchor, "a hard one", 0.0)]
    truth = {(pair.anchor, pair.positive) for pair in pairs}
    assert {(query, text) for query, text, label in rows if label == 1} == truth
    assert not {(query, text) for query, text, label in rows if label == 0} & truth
    assert rows == make_rows(pairs, 3, seed=1)


def test_one_document_alone_teaches_nothing() -> None:
    pairs = [replace(pair, negatives=()) for pair in synonym_pairs()[:2]]
    alone = [replace(pair, positive=pairs[0].positive) for pair in pairs]
    with pytest.raises(TrainingFailed, match="not relevant"):
        make_rows(alone, 3, seed=1)


def test_what_serves_scores_as_torch_does_also_beyond_its_window(exported: Path) -> None:
    pairs = [
        ("what is a", "a disease of the body"),
        ("today", "help " * 200),
        ("help " * 200, "today"),
        ("", ""),
    ]
    assert check_reranker(exported, pairs, max_tokens=64) < 1e-3
    with pytest.raises(InvalidInput, match="got 0"):
        check_reranker(exported, [], max_tokens=64)


def test_a_graph_of_other_weights_is_refused(exported: Path, make: Make, tmp_path: Path) -> None:
    config = make(epochs=1.0)
    run(config)
    (config.out / "model" / "onnx").mkdir()
    (config.out / "model" / "onnx" / "model.onnx").write_bytes((exported / "onnx" / "model.onnx").read_bytes())
    with pytest.raises(ModelRefused, match="differs from the model by"):
        check_reranker(config.out / "model", [("help today", "a disease of the body")], max_tokens=64)


def test_no_time_scores_nothing_and_all_time_scores_all_alike_in_any_company(exported: Path) -> None:
    reranker = OnnxReranker(exported, max_tokens=64, threads=1)
    texts = [f"help with {lay(n % TOPICS)} " * (1 + n % 5) for n in range(2 * RUN_PASSAGES + 3)]
    assert reranker.score("what is", texts, budget_seconds=0).shape == (0,)
    scores = reranker.score("what is", texts)
    assert scores.shape == (len(texts),)
    assert scores.dtype == np.float32
    alone = [reranker.score("what is", [text])[0] for text in texts]
    assert scores == pytest.approx(np.array(alone), abs=1e-5)
    assert reranker.score("what is", []).shape == (0,)


def test_a_budget_scores_a_prefix_as_long_as_the_measured_speed_allows(exported: Path) -> None:
    reranker = OnnxReranker(exported, max_tokens=64, threads=1)
    texts = ["help today"] * (3 * RUN_PASSAGES)
    # As if a token had taken a second: within 20 s three passages of five tokens and [CLS], [SEP], [SEP] fit.
    reranker._seconds_per_token = 1.0
    tokens = len(reranker._tokenizer.encode("what is", "help today").ids)
    scores = reranker.score("what is", texts, budget_seconds=3.5 * tokens)
    assert len(scores) == 3


def test_a_folder_without_a_graph_is_refused(tiny_base: Path) -> None:
    with pytest.raises(ModelRefused, match=r"onnx/model\.onnx"):
        OnnxReranker(tiny_base, max_tokens=64)
