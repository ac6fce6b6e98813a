"""Queries that a language model has written already: each is paid for once, whatever dies in between."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path


class KeptQueries:
    """A JSONL file with one line a document; a line that a crash tore is asked for again.

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
                document_id, rev, model, queries = json.loads(line)
            except (ValueError, TypeError):
                continue
            self._known[document_id, rev, model] = queries
        if lines[-1]:
            # So that what follows a torn line is a line of its own.
            with path.open("ab") as file:
                file.write(b"\n")

    def get(self, document_id: str, rev: int, model: str) -> list[str] | None:
        """What this model wrote for this revision; None when it was not asked yet."""
        return self._known.get((document_id, rev, model))

    def add(self, document_id: str, rev: int, model: str, queries: Sequence[str]) -> None:
        """Stores an answer; on disk when this returns."""
        self._known[document_id, rev, model] = list(queries)
        line = json.dumps([document_id, rev, model, list(queries)])
        with self._path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
