"""The checkpoints of one fine-tune: whose they are, and where to resume."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from embedloop.errors import TrainingFailed

CURVE_FILE = "curve.json"


def open_checkpoints(folder: Path, identity: Mapping[str, Any]) -> Path | None:
    """Opens or makes the folder; returns the last whole checkpoint in it, if there is one.

    A checkpoint is whole when it has its curve, which is written last; one that was cut short is removed.

    Args:
        folder: Holds `checkpoint-STEP` folders and the fingerprint of who wrote them.
        identity: Everything that decides the weights; JSON-ready.

    Raises:
        TrainingFailed: The checkpoints are of another identity.
    """
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "fingerprint"
    if mark.is_file() and mark.read_text() != fingerprint:
        raise TrainingFailed(f"{folder} holds checkpoints of another configuration; give an empty out folder")
    mark.write_text(fingerprint)
    whole = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / CURVE_FILE).is_file():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def sha256_of(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, in order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
