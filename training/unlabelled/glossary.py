"""A team's glossary: terms with their definitions and synonyms, from a file on the server."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedloop.errors import TrainingFailed
from embedloop.lineage import SourceKind
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import query_key
from training.pairs import text_id
from training.server_files import read_lines
from training.unlabelled.passages import Offer

FIELD = "training.glossary"
_MOST_CHARACTERS = 20_000
_MOST_SYNONYMS = 100
_NEEDED = {"term", "definition"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A term with what it means and what else it is called; `line` counts from 1."""

    line: int
    term: str
    definition: str
    synonyms: Sequence[str] = ()


def read_glossary(path: Path) -> list[Entry]:
    """Reads JSONL (`{"term", "definition", "synonyms": [...]}` a line) or CSV (synonyms parted by `;`).

    Raises:
        TrainingFailed: The file cannot be read, or a line of it is no entry; no message shows its content.
    """
    lines = read_lines(path, FIELD)
    return list(_from_csv(lines, path) if path.suffix == ".csv" else _from_jsonl(lines, path))


def glossary_offers(entries: Sequence[Entry], name: str) -> Iterator[Offer]:
    """Term -> definition, and each synonym -> term and definition; `name` is the file's in the lineage."""
    for entry in entries:
        source = f"{SourceKind.GLOSSARY}:{name[:200]}:{entry.line}"
        yield Offer(entry.term, entry.definition, text_id(entry.definition), source)
        whole = embedding_text(entry.term, entry.definition)
        for synonym in entry.synonyms:
            if query_key(synonym) == query_key(entry.term):
                continue
            yield Offer(synonym, whole, text_id(whole), source)


def _from_jsonl(lines: Sequence[str], path: Path) -> Iterator[Entry]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                raw = json.loads(line)
            except ValueError:
                raw = None
            yield _entry(raw, number, path)


def _from_csv(lines: Sequence[str], path: Path) -> Iterator[Entry]:
    reader = csv.DictReader(lines)
    try:
        if _NEEDED - set(reader.fieldnames or ()):
            raise TrainingFailed(f"{FIELD}: {path} must have the columns term and definition")
        for row in reader:
            synonyms = [one for one in (row.get("synonyms") or "").split(";") if one.strip()]
            yield _entry({**row, "synonyms": synonyms}, reader.line_num, path)
    except csv.Error as error:
        raise TrainingFailed(f"{FIELD}: line {reader.line_num} of {path} is no CSV") from error


def _entry(raw: Any, number: int, path: Path) -> Entry:
    raw = raw if isinstance(raw, dict) else {}
    term, definition, synonyms = raw.get("term"), raw.get("definition"), raw.get("synonyms") or []
    listed = isinstance(synonyms, list) and len(synonyms) <= _MOST_SYNONYMS
    texts = [term, definition, *(synonyms if listed else [])]
    whole = all(isinstance(one, str) and one.strip() and len(one) <= _MOST_CHARACTERS for one in texts)
    if not (listed and whole):
        raise TrainingFailed(
            f'line {number} of {path} must be {{"term": ..., "definition": ..., "synonyms": [...]}} with texts '
            f"of 1 to {_MOST_CHARACTERS} characters and at most {_MOST_SYNONYMS} synonyms"
        )
    stripped = [str(one).strip() for one in texts]
    return Entry(number, stripped[0], stripped[1], tuple(dict.fromkeys(stripped[2:])))
