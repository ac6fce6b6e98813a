"""The step of a course that fits a base to the corpus' words and passages before it is fine-tuned."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from embedloop.encoder import Vectors
from embedloop.errors import JobCancelled
from embedloop.recipe.adaptation import Adaptation
from embedloop.recipe.settings import TrainingSettings
from training.adaptation.learning import Plan, learn
from training.checkpoints import sha256_of
from training.hardware import hardware_here
from training.model_files import load_model
from training.passages import read_passages, spread
from training.steps import Step, Task
from training.teacher import encode_while_wanted
from training.trainer import threads, window
from training.vocabulary.extension import extend_model, terms_to_add
from training.vocabulary.report import measure, open_tokenizer
from training.vocabulary.terms import find_terms

# Of the step's progress, where something is learnt after it.
EXTENSION_SHARE = 0.05
# Of the course's time, beside 1 of fine-tuning.
_EXTENSION_WEIGHT, _LEARNING_WEIGHT = 0.05, 1.0
_EXTENDED, _EXTENSION_FILE = "extended", "extension.json"


def adaptation_step(adaptation: Adaptation) -> Step:
    """The step of a course that does what the adaptation says."""
    weight = _EXTENSION_WEIGHT if adaptation.objective is None else _LEARNING_WEIGHT
    return Step("adaptation", weight, lambda task: _adapt(task, adaptation))


def _adapt(task: Task, adaptation: Adaptation) -> dict[str, Any]:
    """Extends the vocabulary, then learns; a run that was killed goes on where it was.

    Raises:
        TrainingFailed: There are no passages, or the base cannot be adapted so.
        JobCancelled: `task.should_stop` said so.
    """
    texts = spread(list(dict.fromkeys(read_passages(task.config.passages))), adaptation.max_passages)
    begin_anew_if_changed(task, texts)
    told: dict[str, Any] = {}
    base = task.base
    if adaptation.new_terms:
        told["vocabulary"] = _extension(task, adaptation, texts)
        base = task.out / _EXTENDED
    if adaptation.objective is None:
        _hand_over(base, task.model)
        return told
    start = EXTENSION_SHARE if adaptation.new_terms else 0.0
    task.on_progress(start)
    plan = Plan(
        objective=adaptation.objective,
        epochs=adaptation.epochs,
        max_steps=adaptation.max_steps,
        batch_size=adaptation.batch_size,
        learning_rate=adaptation.learning_rate,
        max_tokens=adaptation.max_tokens,
        time_budget_seconds=adaptation.time_budget_seconds,
    )
    wanted = _vectors_before(task, texts, plan) if adaptation.objective == "align" else None
    rest = replace(task, base=base, on_progress=lambda part: task.on_progress(start + (1 - start) * part))
    return told | learn_as_step(rest, texts, plan, task.config.settings, wanted)


def learn_as_step(
    task: Task, texts: Sequence[str], plan: Plan, settings: TrainingSettings, wanted: Vectors | None = None
) -> dict[str, Any]:
    """Learns from texts as a step of a course, and tells how it went; see `learn`."""
    hardware = hardware_here(settings.precision)
    learned = learn(
        task.base,
        task.model,
        texts,
        plan,
        settings,
        hardware=hardware,
        on_progress=task.on_progress,
        should_stop=task.should_stop,
        wanted=wanted,
    )
    return {"learning": asdict(learned), "notes": [hardware.note] if hardware.note else []}


def _vectors_before(task: Task, texts: Sequence[str], plan: Plan) -> Vectors:
    """What the base makes of the texts with the vocabulary that it came with; (n, dim), L2-normalised."""
    settings = task.config.settings
    model = load_model(task.base, device=hardware_here(settings.precision).device)
    with threads(settings.threads), window(model, plan.max_tokens):
        return encode_while_wanted(model, texts, task)


def _extension(task: Task, adaptation: Adaptation, texts: Sequence[str]) -> dict[str, Any]:
    """Adds terms to the base, unless an earlier run did, and tells coverage before and after."""
    record = task.out / _EXTENSION_FILE
    if not record.is_file():
        before = open_tokenizer(task.base)
        words, terms = find_terms(before, _while_wanted(task, texts), adaptation.min_documents)
        added = terms_to_add(before, terms, adaptation.new_terms)
        extension = extend_model(task.base, added, task.out / _EXTENDED)
        told = {
            "before": measure(before, words, terms).to_json(),
            "after": measure(open_tokenizer(task.out / _EXTENDED), words, terms).to_json(),
            "new_terms": len(extension.terms),
            "new_rows": extension.rows,
        }
        partial = record.with_suffix(".partial")
        partial.write_text(json.dumps(told))
        partial.replace(record)
    found: dict[str, Any] = json.loads(record.read_text())
    return found


def _while_wanted(task: Task, texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        if task.should_stop():
            raise JobCancelled("adaptation was stopped while it looked for terms")
        yield text


def begin_anew_if_changed(task: Task, texts: Sequence[str]) -> None:
    """What an earlier attempt left counts only for the same base, texts and recipe: documents may have gone."""
    digest = hashlib.sha256(
        sha256_of([*task.base.rglob("*.safetensors"), task.base / "tokenizer.json"]).encode()
    )
    digest.update(task.config.settings.model_dump_json().encode())
    for text in texts:
        digest.update(json.dumps(text).encode())
    mark = task.out / "identity"
    if not mark.is_file() or mark.read_text() != digest.hexdigest():
        shutil.rmtree(task.out)
        task.out.mkdir()
        mark.write_text(digest.hexdigest())


def _hand_over(extended: Path, model: Path) -> None:
    """The extended base is the step's model; after a kill it may be that already."""
    if extended.is_dir():
        shutil.rmtree(model, ignore_errors=True)
        extended.rename(model)
