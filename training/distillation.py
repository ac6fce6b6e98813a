"""A smaller model that gives the vectors of a larger one: the step after the fine-tune that makes it.

The student sees texts without labels and moves its vectors to the teacher's (Reimers & Gurevych 2020, "Making
Monolingual Sentence Embeddings Multilingual using Knowledge Distillation", arXiv:2004.09813). One that keeps
layers of its teacher begins with what they know (Sanh et al. 2019, DistilBERT, arXiv:1910.01108).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch.optim.lr_scheduler import LambdaLR

from embedloop.encoder import Vectors
from embedloop.errors import TrainingFailed
from embedloop.recipe.compression import Student
from embedloop.records.labels import Split
from training.hardware import hardware_here
from training.kept import kept
from training.layers import layer_stack
from training.model_files import load_model, save_model
from training.pairs import read_training_set
from training.passages import read_passages
from training.schedule import rate_share
from training.steps import Step, Task
from training.teacher import SameVectorLoss, check, encode_while_wanted
from training.trainer import threads, window

WEIGHT = 1.0
# Of the progress: encoding by the teacher, and the measuring at the end; between them the student learns.
_ENCODED, _LEARNT = 0.3, 0.95
_HELD_BACK = 20
_MOST_HELD_BACK = 500
_WARMUP = 0.1


def distillation(student: Student) -> Step:
    """The step of a course that leaves the student."""

    def body(task: Task) -> Mapping[str, Any]:
        with threads(task.config.settings.threads):
            return _distil(task, student)

    return Step("student", WEIGHT, body)


def _distil(task: Task, settings: Student) -> Mapping[str, Any]:
    device = hardware_here(task.config.settings.precision).device
    teacher = load_model(task.base, device=device)
    student = _beginning(task.base, settings, teacher).to(device)
    texts = _texts(task, settings.max_texts)
    back = min(_MOST_HELD_BACK, max(1, len(texts) // _HELD_BACK))
    with window(teacher, task.config.settings.max_tokens), window(student, task.config.settings.max_tokens):
        targets = encode_while_wanted(teacher, texts, task, lambda share: task.on_progress(_ENCODED * share))
        steps = _learn(student, texts[back:], targets[back:], task, settings)
        near = encode_while_wanted(student, texts[:back], task)
    told = {
        "texts": len(texts),
        "steps": steps,
        "cosine": round(float(np.sum(near * targets[:back], axis=1).mean()), 4),
        **kept(task.config, teacher, student, texts[:back]),
    }
    if not math.isfinite(told["cosine"]):
        raise TrainingFailed(f"training.student diverged at learning_rate {settings.learning_rate}")
    save_model(student, task.model)
    return told


def _beginning(teacher_folder: Path, settings: Student, teacher: SentenceTransformer) -> SentenceTransformer:
    """What the student knows before it learns; its vectors have the teacher's length."""
    if settings.layers is not None:
        return thinned(load_model(teacher_folder), settings.layers)
    student = load_model(Path(settings.base or ""))
    own, wanted = student.get_embedding_dimension(), teacher.get_embedding_dimension()
    if own != wanted:
        student.append(Dense(own, wanted, bias=False, activation_function=torch.nn.Identity()))
        student.append(Normalize())
    return student


def thinned(model: SentenceTransformer, count: int) -> SentenceTransformer:
    """Leaves `count` layers of the model, evenly spaced, the last one among them.

    Raises:
        TrainingFailed: The model has no more layers than that.
    """
    stack = layer_stack(model)
    if stack is None or count >= len(stack):
        found = "no" if stack is None else str(len(stack))
        raise TrainingFailed(
            f"training.student.layers must be below the model's number of layers ({found}), got {count}"
        )
    staying = {len(stack) - 1 - round(number * len(stack) / count) for number in range(count)}
    for number in reversed(range(len(stack))):
        if number not in staying:
            del stack[number]
    model[0].model.config.num_hidden_layers = count
    return model


def _texts(task: Task, most: int) -> list[str]:
    """Passages of the corpus and queries of the train split, each with its prompt, in random order."""
    config = task.config
    passages = read_passages(config.passages)
    generator = random.Random(config.settings.seed)
    chosen = generator.sample(passages, min(most, len(passages)))
    asked = {one.anchor for one in read_training_set(config.training_set) if one.split is Split.TRAIN}
    prompts = config.prompts
    texts = [prompts.passage + text for text in chosen] + [prompts.query + text for text in sorted(asked)]
    generator.shuffle(texts)
    if len(texts) < 2:
        raise TrainingFailed(f"training.student needs at least 2 texts, got {len(texts)}")
    return texts


def _learn(
    student: SentenceTransformer, texts: Sequence[str], targets: Vectors, task: Task, settings: Student
) -> int:
    """Moves the student's vectors to the targets, by their cosine; returns the number of steps."""
    batches = _batches(texts, settings.batch_size)
    steps = max(1, math.ceil(settings.epochs * len(batches)))
    warmup = math.ceil(_WARMUP * steps)
    optimiser = torch.optim.AdamW(student.parameters(), lr=settings.learning_rate)
    schedule = LambdaLR(optimiser, lambda step: rate_share(step, steps, warmup))
    # Dropout is off: the teacher's vectors have none either.
    student.eval()
    distance = SameVectorLoss(student)
    for step, batch in zip(range(steps), _rounds(batches, task.config.settings.seed), strict=False):
        check(task)
        features = _on(student.device, student.preprocess([texts[row] for row in batch]))
        loss = distance([features], torch.from_numpy(targets[batch]))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        task.on_progress(_ENCODED + (_LEARNT - _ENCODED) * (step + 1) / steps)
    return steps


def _on(device: torch.device, features: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.to(device) if isinstance(one, torch.Tensor) else one for name, one in features.items()}


def _batches(texts: Sequence[str], size: int) -> list[list[int]]:
    """Rows of like length together, so that little is padded."""
    ordered = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _rounds(batches: Sequence[list[int]], seed: int) -> Iterator[list[int]]:
    """The batches again and again, each time in another order."""
    generator = random.Random(seed)
    while True:
        yield from generator.sample(batches, len(batches))
