"""The adaptation as a step of a course: what it leaves, and what happens to it when it is stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from embedloop.errors import JobCancelled, TrainingFailed
from tests.unit.training.adaptation.conftest import PASSAGES, MakeConfig
from tests.unit.training.conftest import synonym_pairs
from training.course import run_course
from training.finetune import FinetuneConfig, Progress
from training.model_files import load_model
from training.pairs import write_training_set

OBJECTIVES = ("mlm", "tsdae", "simcse", "crops")


def course(config: FinetuneConfig, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    return run_course(config, on_progress=lambda told: None, should_stop=should_stop)


def weights(result: dict[str, Any]) -> dict[str, np.ndarray]:
    return load_file(Path(result["model"]) / "model.safetensors")


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    one, two = weights(left), weights(right)
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objective_is_learnt_from_passages_without_a_pair(objective: str, make_adapting: MakeConfig) -> None:
    config = make_adapting(objective=objective, epochs=4)
    result = course(config)
    (record,) = result["course"]
    loss = record["learning"]["loss"]
    assert loss[-1][1] < loss[0][1]
    assert record["learning"]["passages"] == len(PASSAGES)
    assert record["learning"]["steps"] == record["learning"]["planned_steps"] == 72
    assert Path(result["model"]) == config.out / "adaptation" / "model"
    assert load_model(Path(result["model"])).max_seq_length == 64


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_stopped_adaptation_resumes_and_ends_as_if_it_had_never_stopped(
    objective: str, make_adapting: MakeConfig
) -> None:
    whole = course(make_adapting("whole", objective=objective))
    config, asked = make_adapting("stopped", objective=objective), count(1)
    with pytest.raises(JobCancelled, match="step 13"):
        course(config, should_stop=lambda: next(asked) >= 13)
    assert not (config.out / "adaptation" / "model").exists()
    resumed = course(config)
    assert same(resumed, whole)
    assert resumed["course"][0]["learning"] == whole["course"][0]["learning"]


def test_same_seed_gives_the_same_weights_and_another_objective_does_not(make_adapting: MakeConfig) -> None:
    first, again = (course(make_adapting(name, objective="mlm", max_steps=5)) for name in "ab")
    assert same(first, again)
    assert not same(first, course(make_adapting("c", objective="simcse", max_steps=5)))


def test_changed_passages_begin_a_stopped_adaptation_anew(make_adapting: MakeConfig) -> None:
    config, asked = make_adapting(objective="mlm"), count(1)
    with pytest.raises(JobCancelled):
        course(config, should_stop=lambda: next(asked) >= 13)
    assert config.passages is not None
    config.passages.write_text("".join(json.dumps(one) + "\n" for one in PASSAGES[1:]))
    assert course(config)["course"][0]["learning"]["passages"] == len(PASSAGES) - 1


def test_new_terms_are_pieces_of_the_model_and_coverage_is_told(make_adapting: MakeConfig) -> None:
    config = make_adapting(new_terms=3)
    assert config.passages is not None
    texts = [f"{word} of the body {number}" for word in ("tophus", "podagra") for number in range(6)]
    config.passages.write_text("".join(json.dumps(one) + "\n" for one in texts))
    result = course(config)
    vocabulary = result["course"][0]["vocabulary"]
    assert (vocabulary["new_terms"], vocabulary["new_rows"]) == (2, 2)
    assert vocabulary["after"]["kept_whole"] > vocabulary["before"]["kept_whole"]
    assert {one["term"] for one in vocabulary["before"]["worst"]} == {"tophus", "podagra"}
    tokenizer = load_model(Path(result["model"])).tokenizer
    assert tokenizer.tokenize("podagra tophus") == ["podagra", "tophus"]
    assert "learning" not in result["course"][0]


def test_aligned_terms_leave_passages_nearer_to_where_they_were_than_new_rows_alone(
    make_adapting: MakeConfig,
) -> None:
    aligned = {"objective": "align", "epochs": 8, "learning_rate": 2e-3}
    configs = [make_adapting(name, new_terms=3, **recipe) for name, recipe in (("rows", {}), ("all", aligned))]
    texts = [f"{word} {one}" for word in ("tophus", "podagra", "arthrosis") for one in PASSAGES[::3]]
    assert configs[0].passages is not None
    configs[0].passages.write_text("".join(json.dumps(one) + "\n" for one in texts))
    before = load_model(configs[0].base).encode(texts, normalize_embeddings=True)
    rows, learnt = (
        float(
            (before * load_model(Path(course(one)["model"])).encode(texts, normalize_embeddings=True))
            .sum(1)
            .mean()
        )
        for one in configs
    )
    assert rows < learnt
    assert learnt > 0.95


def test_new_terms_are_learnt_with_the_objective_and_tuned_on_pairs(
    make_adapting: MakeConfig, tmp_path: Path
) -> None:
    config = make_adapting(objective="mlm", new_terms=50, max_steps=3)
    assert config.passages is not None
    config.passages.write_text("".join(json.dumps(f"podagra {one}") + "\n" for one in PASSAGES))
    frozen = write_training_set(synonym_pairs(), tmp_path / "set")
    paired = FinetuneConfig(**{**vars(config), "training_set": frozen.path})
    result = course(paired)
    assert Path(result["model"]) == config.out / "model"
    assert result["steps"] > 0
    assert len(weights(result)["embeddings.word_embeddings.weight"]) > 0
    assert load_model(Path(result["model"])).tokenizer.tokenize("podagra") == ["podagra"]


@pytest.mark.parametrize("objective", [None, "mlm", "align"])
def test_adaptation_that_was_killed_before_it_told_ends_with_the_same_model(
    objective: str | None, make_adapting: MakeConfig
) -> None:
    config = make_adapting(objective=objective, new_terms=3, max_steps=3)
    assert config.passages is not None
    config.passages.write_text("".join(json.dumps(f"podagra {one}") + "\n" for one in PASSAGES))
    before = weights(course(config))
    (config.out / "adaptation" / "step.json").unlink()
    after = weights(course(config))
    assert all(np.array_equal(before[name], after[name]) for name in before | after)


def test_static_base_is_refused(make_adapting: MakeConfig, tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"gout": 0, "<unk>": 1}, unk_token="<unk>"))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    static.save_pretrained(str(tmp_path / "static"), create_model_card=False)
    with pytest.raises(TrainingFailed, match="only a transformer"):
        course(make_adapting(base=tmp_path / "static", objective="mlm"))


def test_tokenizer_that_cuts_no_term_stays_as_it_is(make_adapting: MakeConfig) -> None:
    result = course(make_adapting(new_terms=5))
    vocabulary = result["course"][0]["vocabulary"]
    assert (vocabulary["new_terms"], vocabulary["before"]["kept_whole"]) == (0, 1.0)


def test_time_budget_ends_an_adaptation_with_a_model(make_adapting: MakeConfig) -> None:
    (record,) = course(make_adapting(objective="mlm", time_budget_seconds=1e-6))["course"]
    assert (record["learning"]["stopped_by"], record["learning"]["steps"]) == ("time_budget", 1)


def test_progress_grows_over_the_whole_course(make_adapting: MakeConfig) -> None:
    told: list[Progress] = []
    run_course(
        make_adapting(objective="mlm", new_terms=3, max_steps=4),
        on_progress=told.append,
        should_stop=lambda: False,
    )
    shares = [one.progress for one in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


def test_most_passages_are_spread_over_all(make_adapting: MakeConfig) -> None:
    (record,) = course(make_adapting(objective="mlm", max_passages=100, max_steps=1))["course"]
    assert record["learning"]["passages"] == 100


def test_missing_passages_are_told(make_adapting: MakeConfig) -> None:
    config = make_adapting(objective="mlm")
    assert config.passages is not None
    config.passages.unlink()
    with pytest.raises(TrainingFailed, match="no file"):
        course(config)
