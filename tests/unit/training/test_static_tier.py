from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from embedloop.encoder import OnnxEncoder
from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.recipe.compression import StaticTier
from embedloop.recipe.settings import TrainingSettings
from embedloop.static_models import RESCORER_FOLDER, is_static
from tests.unit.training.conftest import TOPICS, document, lay
from training.course import needs_passages, run_course
from training.export import check_parity, export_onnx
from training.finetune import FinetuneConfig
from training.model_files import load_model
from training.static_tier import static_tier
from training.steps import Task
from training.validation import encode
from training.vocabulary.report import cuts, open_tokenizer

MakeTask = Callable[..., Task]
# A word that the tiny tokenizer spells in letters, as often as it takes.
NEW = "zygote"
PASSAGES = [text for topic in range(TOPICS) for text in (document(topic), f"{lay(topic)} and the {NEW}")]


@pytest.fixture
def make_task(make_config: Callable[..., FinetuneConfig], tmp_path: Path) -> MakeTask:
    def make(stops: Callable[[], bool] = lambda: False, **settings: Any) -> Task:
        passages = tmp_path / "passages.jsonl"
        passages.write_text("".join(json.dumps(text) + "\n" for text in PASSAGES))
        config = replace(make_config(**settings), passages=passages)
        out = tmp_path / "static"
        out.mkdir(exist_ok=True)
        return Task(config.base, out, config, lambda share: None, stops)

    return make


def test_recipe_with_a_static_tier_registers_it_with_the_tuned_model_beside(make_task: MakeTask) -> None:
    config = make_task(static={"dimension": 16}, max_steps=1).config
    told = run_course(config, on_progress=lambda told: None, should_stop=lambda: False)
    (record,) = told["course"]
    folder = Path(told["model"])
    assert folder == config.out / "static" / "model"
    assert is_static(folder)
    assert load_model(folder).get_embedding_dimension() == record["dimension"] == 16
    assert record["weights"][1] < record["weights"][0]
    assert len(record["dev"]) == 2
    tuned = load_model(folder / RESCORER_FOLDER)
    np.testing.assert_array_equal(
        encode(tuned, PASSAGES[:1]), encode(load_model(config.out / "model"), PASSAGES[:1])
    )


def test_texts_lie_beside_those_that_the_model_puts_them_beside(make_task: MakeTask) -> None:
    """The tiny model's layers leave a text's vector nearly the mean of its tokens'."""
    task = make_task()
    told = static_tier(StaticTier(a=1.0)).body(task)
    assert told["overlap"] > 0.85


def test_usual_words_of_the_corpus_become_tokens_with_vectors_of_their_own(make_task: MakeTask) -> None:
    task = make_task()
    told = static_tier(StaticTier(words=50)).body(task)
    assert told["words"] >= 1
    (cut,) = cuts(open_tokenizer(task.model), [NEW])
    assert cut.whole
    assert static_tier(StaticTier(words=0, rescore=False)).body(task)["words"] == 0
    assert not cuts(open_tokenizer(task.model), [NEW])[0].whole
    assert not (task.model / RESCORER_FOLDER).exists()


def test_static_model_is_served_as_it_was_made(make_task: MakeTask) -> None:
    task = make_task()
    static_tier(StaticTier()).body(task)
    export_onnx(task.model)
    assert check_parity(task.model, [*PASSAGES, "!", "日本"]) > 0.9999
    served = OnnxEncoder(task.model, max_tokens=64).encode_passages([PASSAGES[0], "\u200b", "日本"])
    # A text of which nothing can be read has a vector as well.
    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1.0, atol=1e-5)


def test_frequent_words_weigh_less(make_task: MakeTask) -> None:
    task = make_task()
    static_tier(StaticTier(a=1e-4)).body(task)
    model = load_model(task.model)
    tokenizer = open_tokenizer(task.model)
    rows = np.linalg.norm(model[0].embedding.weight.detach().numpy(), axis=1)
    assert rows[tokenizer.token_to_id("the")] < 0.1 * rows[tokenizer.token_to_id("7")]


def test_stopped_step_leaves_no_model(make_task: MakeTask) -> None:
    task = make_task(lambda: True)
    with pytest.raises(JobCancelled):
        static_tier(StaticTier()).body(task)
    assert not task.model.exists()


def test_static_model_of_a_static_model_is_refused(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task()
    static_tier(StaticTier(rescore=False)).body(task)
    again = replace(task, base=task.model, out=tmp_path / "again")
    with pytest.raises(TrainingFailed, match="static already"):
        static_tier(StaticTier()).body(again)


@pytest.mark.parametrize("other", [{"student": {"layers": 1}}, {"from_scratch": {"method": "lsa"}}])
def test_static_excludes_what_makes_another_model(other: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="static"):
        TrainingSettings.model_validate({"static": {}, **other})


def test_static_step_reads_the_passages() -> None:
    assert needs_passages(TrainingSettings.model_validate({"static": {}}))
