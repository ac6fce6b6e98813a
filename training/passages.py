"""The file with a corpus' passages, for steps that learn from them without labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from embedloop.errors import TrainingFailed


def read_passages(path: Path | None) -> list[str]:
    """The texts of a file with a JSON string a line, in its order.

    Raises:
        TrainingFailed: There is no such file, no text in it, or a line is no JSON string.
    """
    if path is None or not path.is_file():
        raise TrainingFailed(f"this recipe learns from the corpus' passages, but there is no file {path}")
    texts = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = json.loads(line)
            except ValueError as error:
                raise TrainingFailed(f"{path}, line {number}, is no JSON: {error}") from error
            if not isinstance(text, str):
                raise TrainingFailed(f"{path}, line {number}, must be a string, got {type(text).__name__}")
            texts.append(text)
    if not texts:
        raise TrainingFailed(f"{path} holds no passage")
    return texts


def spread(texts: Sequence[str], most: int) -> list[str]:
    """At most so many, evenly over all.

    >>> spread("abcdef", 3)
    ['a', 'c', 'e']
    """
    return [texts[at * len(texts) // most] for at in range(most)] if len(texts) > most else list(texts)
