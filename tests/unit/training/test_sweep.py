from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from embedloop.errors import JobCancelled
from tests.unit.training.conftest import TOPICS, document, lay, run
from training.evaluation import rank_by_cosine
from training.finetune import FinetuneConfig
from training.general import GeneralSet, write_general_sets
from training.model_files import load_model
from training.validation import encode

MakeConfig = Callable[..., FinetuneConfig]


@pytest.fixture
def general(tiny_base: Path, tmp_path: Path) -> Path:
    """What the random base does is right: each query's answer is the document that it finds first."""
    model = load_model(tiny_base)
    queries = {f"q{topic}": f"what is {lay(topic)}" for topic in range(TOPICS)}
    documents = {f"d{topic}": document(topic) for topic in range(TOPICS)}
    found = rank_by_cosine(
        encode(model, list(queries.values())), encode(model, list(documents.values())), list(documents), k=1
    )
    qrels = {query: {row[0]: 1} for query, row in zip(queries, found, strict=True)}
    path = tmp_path / "general.json"
    write_general_sets([GeneralSet("first", queries, documents, qrels)], path)
    return path


def test_merged_model_lies_between_base_and_tuned_and_is_chosen_on_both_sets(
    make_config: MakeConfig, general: Path
) -> None:
    tuned = run(make_config("tuned", merge_alphas=()))
    config = replace(make_config("merged", merge_alphas=(0.5,)), general=general, max_general_drop=1.0)
    result = run(config)
    assert result.sweep is not None
    base, half, whole = result.sweep.points
    assert (base.alpha, half.alpha, whole.alpha) == (0.0, 0.5, 1.0)
    assert (base.dev, base.general) == (result.dev[0][1], 1.0)
    assert whole.dev == dict(result.dev)[result.best_step]
    before, after, kept = (
        load_file(folder / "model.safetensors") for folder in (config.base, tuned.model, result.model)
    )
    alpha = np.float32(result.sweep.alpha)
    for name, weights in kept.items():
        np.testing.assert_allclose(weights, before[name] + alpha * (after[name] - before[name]), atol=1e-6)


def test_what_forgets_too_much_is_not_chosen(make_config: MakeConfig, general: Path) -> None:
    config = make_config(epochs=8, merge_alphas=(0.001, 0.5))
    result = run(replace(config, general=general, max_general_drop=0.05))
    assert result.sweep is not None
    points = {point.alpha: point for point in result.sweep.points}
    whole, chosen = points[1.0], points[result.sweep.alpha]
    assert whole.general is not None
    assert chosen.general is not None
    assert whole.general < 0.95 <= chosen.general
    assert whole.dev is not None
    assert chosen.dev is not None
    assert whole.dev >= chosen.dev
    assert any(f"alpha {result.sweep.alpha:g}" in note for note in result.notes)


def test_two_mixtures_more_are_measured_where_the_bound_decides(make_config: MakeConfig, general: Path) -> None:
    config = make_config(epochs=8, merge_alphas=(0.001,))
    result = run(replace(config, general=general, max_general_drop=0.05))
    assert result.sweep is not None
    assert [point.alpha for point in result.sweep.points][:2] == [0.0, 0.001]
    between = [point.alpha for point in result.sweep.points if 0.001 < point.alpha < 1.0]
    assert len(between) == 2
    assert 0.5005 in between


def test_same_command_gives_the_same_metrics_again(make_config: MakeConfig, general: Path) -> None:
    first, again = (run(replace(make_config(name, dropout=0.1), general=general)) for name in ("one", "two"))
    for name in ("loss", "dev", "space", "sweep"):
        assert getattr(first, name) == getattr(again, name)


def test_curves_are_kept_as_data_and_as_a_picture(make_config: MakeConfig, general: Path) -> None:
    config = replace(make_config(epochs=1), general=general)
    result = run(config)
    record = json.loads((config.out / "training.json").read_text())
    assert [step for step, _ in record["result"]["space"]] == [step for step, _ in result.dev]
    assert set(record["result"]["space"][0][1]) == {"alignment", "uniformity", "anisotropy"}
    assert record["result"]["sweep"]["points"][0]["alpha"] == 0.0
    assert (config.out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_training_spreads_the_texts_of_a_collapsed_space(make_config: MakeConfig) -> None:
    space = run(make_config(epochs=8)).space
    assert space[-1][1]["uniformity"] < space[0][1]["uniformity"] - 0.5
    assert space[-1][1]["anisotropy"] < space[0][1]["anisotropy"] - 0.2


def test_stopped_sweep_goes_on_from_the_last_checkpoint(make_config: MakeConfig, general: Path) -> None:
    whole = run(replace(make_config("whole", epochs=1), general=general))
    config, asked = replace(make_config("stopped", epochs=1), general=general), count(1)
    with pytest.raises(JobCancelled, match="alpha sweep"):
        run(config, should_stop=lambda: next(asked) > whole.steps + 1)
    assert not (config.out / "model").exists()
    assert run(config).sweep == whole.sweep


def test_sweep_without_dev_and_general_set_is_left_out(make_config: MakeConfig) -> None:
    assert run(make_config(dev=False, epochs=1)).sweep is None
