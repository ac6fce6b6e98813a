"""The report file: sections that were measured alone are merged into what is there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedloop.errors import InvalidInput

SECTIONS = ("search", "reembed", "training")


def read(path: Path) -> dict[str, Any]:
    """The report at a path; empty when there is none.

    Raises:
        InvalidInput: The file is no report.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} must be a report in JSON: {error}", field="out") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} must hold one JSON object, got {type(found).__name__}", field="out")
    return found


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A report with the sections of `new`, and those of `old` that `new` lacks.

    Sections of another machine, other versions or another number of terms are not kept: beside each other
    such figures would mislead.
    """
    comparable = all(old.get(name) == new.get(name) for name in ("machine", "settings"))
    kept = {name: old[name] for name in SECTIONS if name in old} if comparable else {}
    merged = kept | dict(new)
    return {name: merged[name] for name in ("machine", "settings", *SECTIONS) if name in merged}


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Writes a report so that a reader finds the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
