"""The checkpoints of one fine-tune: whose they are, and where to resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from embedloop.errors import TrainingFailed


def open_checkpoints(folder: Path, identity: Mapping[str, Any]) -> Path | None:
    """Opens or makes the folder; returns the last checkpoint in it, if there is one.

    Args:
        folder: Holds `checkpoint-STEP` folders, `curve.json` and the fingerprint of who wrote them.
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
    last = get_last_checkpoint(str(folder))
    return Path(last) if last and (folder / "curve.json").is_file() else None


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def sha256_of(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, in order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
