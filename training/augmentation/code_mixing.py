"""Code-mixed queries: words of one language among those of another, from a bilingual glossary.

As in CoSDA-ML (Qin et al. 2020), which replaces words of a sentence by their translations from a dictionary.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from embedloop.errors import TrainingFailed
from training.augmentation.phrases import Phrases
from training.server_files import read_lines

FIELD = "training.augmentation.bilingual"
_MOST_CHARACTERS = 400


class CodeMixing:
    """Replaces about half of the phrases that have a translation, at least one.

    Args:
        translations: (phrase, the same in the other language); read in both directions.
    """

    def __init__(self, translations: Iterable[tuple[str, str]]) -> None:
        known: dict[str, list[str]] = {}
        for one, other in translations:
            known.setdefault(one, []).append(other)
            known.setdefault(other, []).append(one)
        self._phrases = Phrases(known)

    def variants(self, query: str, generator: random.Random) -> list[str]:
        """One mixed query; none where no phrase has a translation."""
        occurrences = self._phrases.in_text(query)
        if not occurrences:
            return []
        chosen = generator.sample(occurrences, (len(occurrences) + 1) // 2)
        mixed = query
        # From the right, so that what is left keeps its place.
        for one in sorted(chosen, key=lambda one: one.start, reverse=True):
            mixed = one.replaced(mixed, generator.choice(list(one.alternatives)))
        return [mixed]


def read_translations(path: Path) -> list[tuple[str, str]]:
    """Reads JSONL (`{"term", "translation"}` a line) or CSV with these columns.

    Raises:
        TrainingFailed: The file cannot be read, or a line of it is none; no message shows its content.
    """
    lines = read_lines(path, FIELD)
    rows = _csv_rows(lines, path) if path.suffix == ".csv" else _json_rows(lines)
    return [_translation(row, number, path) for number, row in rows]


def _json_rows(lines: Sequence[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _csv_rows(lines: Sequence[str], path: Path) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(lines)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise TrainingFailed(f"{FIELD}: line {reader.line_num} of {path} is no CSV") from error


def _translation(raw: Any, number: int, path: Path) -> tuple[str, str]:
    texts = [raw.get("term"), raw.get("translation")] if isinstance(raw, dict) else [None]
    if not all(isinstance(one, str) and one.strip() and len(one) <= _MOST_CHARACTERS for one in texts):
        raise TrainingFailed(
            f'line {number} of {path} must be {{"term": ..., "translation": ...}} with texts of 1 to '
            f"{_MOST_CHARACTERS} characters"
        )
    return str(texts[0]).strip(), str(texts[1]).strip()
