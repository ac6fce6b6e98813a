"""What a fine-tune leaves behind: the model, how it came about, and its curves."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from embedloop.errors import TrainingFailed
from training.curves import draw
from training.hardware import Hardware
from training.merging import Sweep
from training.model_files import save_model
from training.watch import StoppedBy

RECORD_FILE = "training.json"
PICTURE_FILE = "curves.png"

_PACKAGES = ("torch", "transformers", "sentence-transformers", "datasets", "accelerate", "tokenizers", "numpy")


@dataclass(frozen=True)
class FinetuneResult:
    """A trained model and how it came about.

    Attributes:
        model: The saved sentence-transformers folder.
        steps: Steps trained, of `planned_steps`.
        seconds: Time spent in training, over all resumptions.
        stopped_by: Why it ended.
        loss: (step, training loss) points.
        dev: (step, nDCG@10 on dev) points; the first is the base model's. Empty without a dev split.
        space: (step, alignment, uniformity and anisotropy by name) points, measured with `dev`.
        best_step: The step whose weights were kept.
        sweep: Mixtures of those weights with the base's, and the one that was saved; None if none was asked
            for.
        notes: What the reader should know, in words.
    """

    model: Path
    steps: int
    planned_steps: int
    seconds: float
    stopped_by: StoppedBy
    loss: tuple[tuple[int, float], ...]
    dev: tuple[tuple[int, float], ...]
    space: tuple[tuple[int, dict[str, float]], ...]
    best_step: int
    sweep: Sweep | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"model": str(self.model)}


def save(
    model: SentenceTransformer, out: Path, config: dict[str, Any], result: FinetuneResult, hardware: Hardware
) -> None:
    """Writes the model, whole or not at all, with `training.json` and `curves.png` beside it.

    Raises:
        TrainingFailed: The weights diverged.
    """
    save_trained(model, result.model, config["settings"]["learning_rate"])
    write_record(out, config, result, hardware)


def save_trained(model: SentenceTransformer, folder: Path, learning_rate: float) -> None:
    """Writes a model folder, whole or not at all; what is there is replaced.

    Raises:
        TrainingFailed: The weights diverged.
    """
    if not all(bool(torch.isfinite(one).all()) for one in model.parameters()):
        raise TrainingFailed(f"training diverged at learning_rate {learning_rate}: weights are not finite")
    save_model(model, folder)


def not_tuned(base: Path, out: Path, config: dict[str, Any], hardware: Hardware) -> FinetuneResult:
    """What is told where there was nothing to fine-tune with: the model is the base, as it is."""
    result = FinetuneResult(
        model=base,
        steps=0,
        planned_steps=0,
        seconds=0.0,
        stopped_by="steps",
        loss=(),
        dev=(),
        space=(),
        best_step=0,
        sweep=None,
        notes=("there were no pairs: nothing was fine-tuned",),
    )
    write_record(out, config, result, hardware)
    return result


def write_record(out: Path, config: dict[str, Any], result: FinetuneResult, hardware: Hardware) -> None:
    """Writes `training.json` and `curves.png`."""
    record = {
        "config": config,
        "result": result.to_json(),
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": asdict(hardware),
            "threads": config["settings"]["threads"] or torch.get_num_threads(),
            "packages": {name: version(name) for name in _PACKAGES},
        },
    }
    (out / RECORD_FILE).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    draw(record["result"], out / PICTURE_FILE)
