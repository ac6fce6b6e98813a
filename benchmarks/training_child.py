"""The training child process as a worker starts it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from embedloop.errors import TrainingFailed
from training.finetune import FinetuneConfig
from training.ranks import command


def finetune(config: FinetuneConfig) -> dict[str, Any]:
    """Runs `python -m training` to its end; returns its result.

    Raises:
        TrainingFailed: It ended without a model.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    config_file: Path = config.out / "config.json"
    config_file.write_text(json.dumps(config.to_json()))
    with subprocess.Popen(
        command(config_file, config.settings.processes),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        # Its stdin stays open to the end: the child takes an end of it for the death of its parent.
        events = [json.loads(line) for line in process.stdout or ()]
    if not events or events[-1]["event"] != "done":
        raise TrainingFailed(f"the training process must end with a model, it ended with {events[-1:]}")
    result: dict[str, Any] = events[-1]["result"]
    return result
