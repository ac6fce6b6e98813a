from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

from embedloop.errors import JobCancelled, ModelRefused, TrainingFailed
from embedloop.records.labels import Split
from tests.unit.training.conftest import TOPICS, document, run, synonym_pairs, term
from training.evaluation import rank_by_cosine
from training.finetune import FinetuneConfig, Progress, finetune
from training.pairs import write_training_set
from training.watch import Watch

MakeConfig = Callable[..., FinetuneConfig]


def weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    return dict(load_file(folder / "model.safetensors"))


def same(left: Path, right: Path) -> bool:
    one, two = weights(left), weights(right)
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def hits(folder: Path) -> float:
    """Share of held-out queries whose first result is their document."""
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    held_out = [pair for pair in synonym_pairs() if pair.split is Split.DEV]
    texts = [document(topic) for topic in range(TOPICS)]
    queries, passages = (
        model.encode(batch, show_progress_bar=False, normalize_embeddings=True)
        for batch in ([pair.anchor for pair in held_out], texts)
    )
    ranked = rank_by_cosine(queries, passages, texts, 1)
    return float(np.mean([row[0] == pair.positive for row, pair in zip(ranked, held_out, strict=True)]))


def rates_of(config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate after each step of a fine-tune."""
    rates: list[float] = []

    def noted(watch: Watch, args: Any, state: Any, control: Any, **parts: Any) -> None:
        rates.append(parts["lr_scheduler"].get_last_lr()[0])
        ended(watch, args, state, control, **parts)

    ended = Watch.on_step_end
    monkeypatch.setattr(Watch, "on_step_end", noted)
    run(config)
    return rates


def test_synonyms_are_learnt(make_config: MakeConfig) -> None:
    config = make_config(epochs=8)
    result = run(config)
    assert hits(config.base) < 0.3
    assert hits(result.model) > 0.7
    assert result.stopped_by == "steps"
    assert result.dev[0][0] == 0
    assert dict(result.dev)[result.best_step] == max(value for step, value in result.dev if step)
    assert dict(result.dev)[result.best_step] > result.dev[0][1] + 0.3
    assert result.loss[-1][1] < result.loss[0][1]


def test_saved_model_is_whole_and_keeps_its_own_window(make_config: MakeConfig) -> None:
    config = make_config(max_tokens=12, epochs=1)
    result = run(config)
    assert [path.suffix for path in config.out.rglob("*") if path.suffix in (".bin", ".pt", ".pth")] == []
    assert not (config.out / "checkpoints").exists()
    saved = SentenceTransformer(str(result.model), device="cpu", local_files_only=True)
    assert saved.max_seq_length == 64
    record = json.loads((config.out / "training.json").read_text())
    assert record["config"] == config.to_json()
    assert record["result"]["best_step"] == result.best_step
    assert record["environment"]["packages"]["torch"] == version("torch")
    assert FinetuneConfig.from_json(record["config"]) == config


def test_same_seed_gives_the_same_weights_and_another_does_not(make_config: MakeConfig) -> None:
    first, again, other = (
        run(make_config(name, epochs=1, seed=seed)).model for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert same(first, again)
    assert not same(first, other)


def test_stopped_run_resumes_and_ends_as_if_it_had_never_stopped(make_config: MakeConfig) -> None:
    whole = run(make_config("whole"))
    config, asked = make_config("stopped"), count(1)
    with pytest.raises(JobCancelled, match="step 13"):
        run(config, should_stop=lambda: next(asked) >= 13)
    assert not (config.out / "model").exists()
    steps: list[int] = []
    resumed = finetune(config, on_progress=lambda at: steps.append(at.step), should_stop=lambda: False)
    assert steps[0] == 13
    assert resumed.dev == whole.dev
    assert same(resumed.model, whole.model)


def test_checkpoint_that_was_cut_short_is_passed_over(make_config: MakeConfig) -> None:
    whole = run(make_config("whole", epochs=2))
    config, asked = make_config("cut", epochs=2), count(1)
    with pytest.raises(JobCancelled):
        run(config, should_stop=lambda: next(asked) >= 13)
    partial = config.out / "checkpoints" / "checkpoint-14"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    assert same(run(config).model, whole.model)


def test_checkpoints_of_another_configuration_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(JobCancelled):
        run(make_config("out"), should_stop=lambda: True)
    with pytest.raises(TrainingFailed, match="another configuration"):
        run(make_config("out", seed=99))


def test_time_budget_ends_training_with_a_validated_model(make_config: MakeConfig) -> None:
    result = run(make_config(time_budget_seconds=1e-6))
    assert (result.stopped_by, result.steps) == ("time_budget", 1)
    assert [step for step, _ in result.dev] == [0, 1]
    assert (result.model / "model.safetensors").is_file()


def test_rate_falls_by_the_steps_where_the_time_is_enough(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = rates_of(make_config(epochs=2, warmup_ratio=0.0), monkeypatch)
    assert rates == pytest.approx([5e-3 * (1 - step / len(rates)) for step in range(1, len(rates) + 1)])


def test_rate_has_fallen_to_nearly_zero_when_the_time_is_over(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(1000))
    monkeypatch.setattr("training.watch.time.monotonic", lambda: float(next(seconds)))
    config = make_config(epochs=10, warmup_ratio=0.0, evaluations=1, time_budget_seconds=20)
    rates = rates_of(config, monkeypatch)
    assert len(rates) < 30
    assert rates[-1] < 0.2 * rates[0]
    assert rates == sorted(rates, reverse=True)


def test_max_steps_plans_no_more_than_that(make_config: MakeConfig) -> None:
    result = run(make_config(max_steps=2))
    assert (result.stopped_by, result.steps, result.planned_steps) == ("steps", 2, 2)


def test_training_that_only_harms_ends_by_patience(make_config: MakeConfig, tmp_path: Path) -> None:
    good = run(make_config("good")).model
    result = run(make_config("bad", base=good, learning_rate=1e-2, warmup_ratio=0, evaluations=30, patience=2))
    assert result.stopped_by == "patience"
    assert result.steps < result.planned_steps
    assert result.dev[-1][1] < max(value for _, value in result.dev)


def test_empty_dev_split_is_told_and_skips_validation(make_config: MakeConfig) -> None:
    result = run(make_config(dev=False, epochs=1))
    assert (result.dev, result.best_step) == ((), result.steps)
    assert any("no dev split" in note for note in result.notes)


def test_pairs_without_hard_negatives_train_in_batch_and_say_so(make_config: MakeConfig) -> None:
    config = make_config(epochs=1)
    bare = [
        pair.__class__(**{name: getattr(pair, name) for name in pair.__slots__} | {"negatives": ()})
        for pair in synonym_pairs()
    ]
    frozen = write_training_set(bare, config.out.parent / "bare")
    result = run(FinetuneConfig(config.base, config.out, frozen.path, config.settings, "", ""))
    assert any("in-batch negatives only" in note for note in result.notes)


def test_prompts_are_part_of_what_is_trained(make_config: MakeConfig) -> None:
    plain = make_config("plain", epochs=1)
    prompted = FinetuneConfig(
        plain.base, plain.out.parent / "prompted", plain.training_set, plain.settings, "what is ", "of the "
    )
    assert not same(run(plain).model, run(prompted).model)


def test_progress_is_told_after_every_step(make_config: MakeConfig) -> None:
    told: list[Progress] = []
    config = make_config(epochs=1, merge_alphas=(0.5,))
    result = finetune(config, on_progress=told.append, should_stop=lambda: False)
    assert [one.step for one in told] == [*range(result.steps + 1), *[result.steps] * 3]
    assert [one.progress for one in told] == sorted(one.progress for one in told)
    assert told[result.steps].progress == pytest.approx(0.9)
    assert told[-1].progress < 1.0
    assert told[0].dev == result.dev[0][1]


def test_base_without_safetensors_is_refused(make_config: MakeConfig, tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_base, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="safetensors"):
        run(make_config(base=folder))
    with pytest.raises(ModelRefused, match=r"modules\.json"):
        run(make_config(base=tmp_path / "nowhere"))


def test_diverged_weights_are_never_saved(make_config: MakeConfig, tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_base, folder)
    broken = {name: one * np.float32("nan") for name, one in weights(folder).items()}
    save_file(broken, folder / "model.safetensors", metadata={"format": "pt"})
    config = make_config(base=folder, epochs=1)
    with pytest.raises(TrainingFailed, match="diverged"):
        run(config)
    assert not (config.out / "model").exists()


def test_run_that_ended_before_its_model_was_saved_resumes_and_saves_it(make_config: MakeConfig) -> None:
    whole = run(make_config("whole", epochs=1))
    config = make_config("cut", epochs=1)
    config.out.mkdir()
    (config.out / "model.partial").write_text("in the way")
    with pytest.raises(FileExistsError):
        run(config)
    (config.out / "model.partial").unlink()
    assert same(run(config).model, whole.model)


def test_leaking_training_set_is_refused(make_config: MakeConfig) -> None:
    config = make_config()
    pairs = synonym_pairs()
    leak = [
        pair.__class__(**{n: getattr(pair, n) for n in pair.__slots__} | {"split": Split.DEV}) for pair in pairs
    ]
    frozen = write_training_set([*pairs, *leak], config.out.parent / "leak")
    with pytest.raises(TrainingFailed, match="both"):
        run(FinetuneConfig(config.base, config.out, frozen.path, config.settings, "", ""))


def test_terms_are_one_token_each(tiny_base: Path) -> None:
    model = SentenceTransformer(str(tiny_base), device="cpu", local_files_only=True)
    assert model.tokenizer.tokenize(term(3)) == [term(3)]
