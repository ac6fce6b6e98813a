"""What a language model has answered already: each answer is paid for once, whatever dies in between."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path


class KeptAnswers:
    """A JSONL file with one line an answer; a line that a crash tore is asked for again.

    Args:
        path: The file; it and its folder are made when they are missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, int, str], list[str]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        for line in lines[:-1]:
            try:
                key, rev, model, texts = json.loads(line)
            except (ValueError, TypeError):
                continue
            self._known[key, rev, model] = texts
        if lines[-1]:
            # So that what follows a torn line is a line of its own.
            with path.open("ab") as file:
                file.write(b"\n")

    def get(self, key: str, rev: int, model: str) -> list[str] | None:
        """What this model answered on this revision of what the key names; None when it was not asked yet."""
        return self._known.get((key, rev, model))

    def add(self, key: str, rev: int, model: str, texts: Sequence[str]) -> None:
        """Stores an answer; on disk when this returns."""
        self._known[key, rev, model] = list(texts)
        line = json.dumps([key, rev, model, list(texts)])
        with self._path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
