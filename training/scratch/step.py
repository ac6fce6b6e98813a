"""A course's first steps where the recipe begins from scratch: a base made from the corpus alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedloop.recipe.adaptation import Objective
from embedloop.recipe.scratch import FromScratch, OwnTransformer, WordVectors
from embedloop.records.labels import Split
from training.adaptation.learning import Plan
from training.adaptation.step import begin_anew_if_changed, learn_as_step
from training.pairs import read_training_set
from training.passages import read_passages
from training.scratch.static_model import build_static_model
from training.scratch.transformer import build_transformer
from training.steps import Step, Task

# Of the course's time, beside 1 of fine-tuning.
_STATIC_WEIGHT, _UNTRAINED_WEIGHT, _LEARNING_WEIGHT = 1.0, 0.05, 1.0


def from_scratch_steps(wanted: FromScratch) -> list[Step]:
    """The steps that make a model; the first one does not read its base."""
    if isinstance(wanted, WordVectors):
        return [Step("from_scratch", _STATIC_WEIGHT, lambda task: _words(task, wanted))]
    untrained = Step("from_scratch", _UNTRAINED_WEIGHT, lambda task: _untrained(task, wanted))
    return [untrained, *(_learning(plan, wanted) for plan in plans(wanted))]


def plans(wanted: OwnTransformer) -> list[Plan]:
    """What the transformer learns from, one after the other; they share its time by their epochs."""
    epochs: dict[Objective, float] = {"mlm": wanted.mlm_epochs, "crops": wanted.crop_epochs}
    return [
        Plan(
            objective=objective,
            epochs=wished,
            max_steps=wanted.max_steps,
            batch_size=wanted.batch_size,
            learning_rate=wanted.learning_rate,
            max_tokens=wanted.max_tokens,
            time_budget_seconds=wanted.time_budget_seconds * wished / sum(epochs.values()),
        )
        for objective, wished in epochs.items()
        if wished
    ]


def _learning(plan: Plan, wanted: OwnTransformer) -> Step:
    def learn(task: Task) -> Mapping[str, Any]:
        # Two parts of a text would be told apart by its queries, which are no language of documents.
        texts = read_passages(task.config.passages) if plan.objective == "crops" else _texts(task)[0]
        different = list(dict.fromkeys(texts))
        begin_anew_if_changed(task, different)
        settings = task.config.settings.model_copy(update={"seed": wanted.seed, "dropout": None})
        return learn_as_step(task, different, plan, settings)

    return Step(plan.objective, _LEARNING_WEIGHT, learn)


def _words(task: Task, wanted: WordVectors) -> Mapping[str, Any]:
    """Leaves a static model.

    Raises:
        TrainingFailed: The texts are too few.
        JobCancelled: The task was stopped.
    """
    texts, pairs = _texts(task)
    told = build_static_model(
        texts, wanted, task.model, on_progress=task.on_progress, should_stop=task.should_stop
    )
    return {"method": wanted.method, "pairs": pairs, **told}


def _untrained(task: Task, wanted: OwnTransformer) -> Mapping[str, Any]:
    """Leaves a transformer that has learnt nothing yet; raises as `_words`."""
    texts, pairs = _texts(task)
    told = build_transformer(texts, wanted, task.model, should_stop=task.should_stop)
    return {"method": wanted.method, "pairs": pairs, **told}


def _texts(task: Task) -> tuple[list[str], int]:
    """The passages, each behind the training queries that ask for it; and the number of these.

    So the words of queries, also of another language than the documents', lie beside those that they ask for
    (Dumais et al. 1997, cross-language LSI). No passage counts twice, however often it is asked for: words of
    those that nobody has asked for yet would weigh less.
    """
    asked: dict[str, list[str]] = {}
    for pair in read_training_set(task.config.training_set):
        if pair.split is Split.TRAIN and pair.positive:
            asked.setdefault(pair.positive, []).append(pair.anchor)
    passages = dict.fromkeys([*read_passages(task.config.passages), *asked])
    return ["\n".join([*asked.get(one, ()), one]) for one in passages], sum(map(len, asked.values()))
