"""The steps of a course beside fine-tuning: each takes a model folder and leaves another one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.finetune import FinetuneConfig

MODEL_FOLDER = "model"
STEP_FILE = "step.json"


@dataclass(frozen=True, slots=True)
class Task:
    """What a step works on.

    Attributes:
        base: Model folder to begin with.
        out: Folder of the step, also for what it needs to resume.
        config: Of the whole course: settings, prompts, passages, training set.
        on_progress: Takes how much of the step is done, 0..1.
        should_stop: Asked often; True makes the step raise JobCancelled, resumable if that is worth it.
    """

    base: Path
    out: Path
    config: FinetuneConfig
    on_progress: Callable[[float], None]
    should_stop: Callable[[], bool]

    @property
    def model(self) -> Path:
        """Where the step's model goes, renamed to when it is whole."""
        return self.out / MODEL_FOLDER


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a course.

    Attributes:
        name: Of its folder, and in the record.
        weight: Share of the course's time, beside 1 of fine-tuning.
        body: Leaves `task.model`; returns what is to be told of it, JSON-ready.
    """

    name: str
    weight: float
    body: Callable[[Task], Mapping[str, Any]]

    def __call__(self, task: Task) -> dict[str, Any]:
        """Runs the body, unless an earlier run has ended: its record is written last, and taken over."""
        record = task.out / STEP_FILE
        if not record.is_file():
            task.out.mkdir(parents=True, exist_ok=True)
            begin = time.monotonic()
            told = self.body(task)
            seconds = round(time.monotonic() - begin, 1)
            partial = record.with_suffix(".partial")
            partial.write_text(json.dumps({"step": self.name, "seconds": seconds, **told}))
            partial.replace(record)
        found: dict[str, Any] = json.loads(record.read_text())
        return found
