"""The report file: written after each section, so that a run that is killed leaves what it has."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.progress import say

Draw = Callable[[Mapping[str, Any], Path], None]


class Report:
    """One run's figures, in `NAME.json`, with their picture in `NAME.png`."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any], draw: Draw):
        self.path = folder / f"{name}.json"
        self.content: dict[str, Any] = {
            "machine": machine.description(),
            "measured": machine.moment(),
            "settings": dict(settings),
        }
        self._draw = draw
        self._begin = time.perf_counter()

    def keep(self, name: str, section: Any) -> None:
        """Adds a section and writes what there is."""
        self.content[name] = section
        self.content["measured"]["seconds"] = round(time.perf_counter() - self._begin, 1)
        write(self.path, self.content)

    def finish(self) -> None:
        """Draws the picture."""
        self._draw(self.content, self.path.with_suffix(".png"))
        say(f"written: {self.path} and {self.path.with_suffix('.png')}")


def written(value: Any, indent: str = "") -> str:
    """JSON, indented, but a list without objects or lists in it on one line.

    >>> print(written({"a": [1, 2], "b": {"c": "d"}}))
    {
      "a": [1, 2],
      "b": {
        "c": "d"
      }
    }
    """
    deeper = indent + "  "
    if isinstance(value, Mapping) and value:
        lines = [f"{deeper}{json.dumps(str(key))}: {written(one, deeper)}" for key, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(one, Mapping | list | tuple) for one in value):
        return "[\n" + ",\n".join(deeper + written(one, deeper) for one in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Writes a report so that a reader finds the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(written(report) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
