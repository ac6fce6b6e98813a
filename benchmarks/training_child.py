"""The training child process as a worker starts it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Literal

from benchmarks.machine import ROOT
from embedloop.errors import TrainingFailed
from training.finetune import FinetuneConfig
from training.ranks import command

Device = Literal["cpu", "gpu"]


def finetune(config: FinetuneConfig, device: Device = "cpu") -> dict[str, Any]:
    """Runs `python -m training` to its end; returns its result. On `cpu` it sees no GPU.

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
        env={**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})},
    ) as process:
        # Its stdin stays open to the end: the child takes an end of it for the death of its parent.
        events = [json.loads(line) for line in process.stdout or ()]
    if not events or events[-1]["event"] != "done":
        raise TrainingFailed(f"the training process must end with a model, it ended with {events[-1:]}")
    result: dict[str, Any] = events[-1]["result"]
    return result
