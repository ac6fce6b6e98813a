"""What `embedloop import PATH` reads: labelled pairs and triplets in the columns that the field uses.

Files are read lazily, line by line; the columns of the first line say what all lines are.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from embedloop.errors import InvalidInput, MissingExtra, NotFound
from embedloop.readers import MAX_CSV_CELL, JudgmentLine, objects, opened, read_judgments

MAX_GRADE = 3
ROWS_PER_READ = 1000
_ANCHORS = ("anchor", "query", "question", "sentence1")
_POSITIVES = ("positive", "pos", "answer", "passage", "sentence2")
_NEGATIVES = ("negative", "negatives", "neg")
_SCORES = ("score", "similarity_score", "label")
_GRADES = ("grade", "relevance")


class PairLine(TypedDict):
    """One line of the bulk pairs route."""

    anchor: str
    positive: NotRequired[str]
    negatives: NotRequired[list[str]]
    split: NotRequired[str]


class LabelLine(TypedDict):
    """One line of the bulk judgments route, as `embedloop import` sends it."""

    query: str
    document_id: str
    grade: int
    split: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Scores:
    """How a column of scores is read: those of at least `positive_from` of `scale` say relevant."""

    scale: float = 1.0
    positive_from: float = 0.5

    def relevant(self, value: object, where: str) -> bool:
        """Raises InvalidInput unless the value is a number of 0..scale."""
        try:
            score = math.nan if isinstance(value, bool) else float(str(value))
        except ValueError:
            score = math.nan
        if not 0 <= score <= self.scale:
            raise InvalidInput(f"{where}: score must be 0..{self.scale:g}, got {value!r:.80}", field="score")
        return score >= self.positive_from * self.scale


@dataclass(frozen=True, slots=True)
class Labelled:
    """A file of labels: `judgments` name documents of the corpus, `pairs` bring their texts."""

    kind: Literal["judgments", "pairs"]
    lines: Iterator[PairLine] | Iterator[LabelLine] | Iterator[JudgmentLine]


def read_labelled(path: Path, scores: Scores) -> Labelled:
    """Reads a file or a folder of labels.

    Columns, in the first names that a file has: an anchor (`anchor`, `query`, `question`, `sentence1`) and
    either `document_id` with `grade` (1 where it is missing), or a positive (`positive`, `pos`, `answer`,
    `passage`, `sentence2`) with negatives (`negative`, `negatives`, `neg`, `negative_1`, `negative_2` ...) or a
    `score` (also `similarity_score`, `label`), and `split` if the file says it. In JSONL and Parquet a positive
    or a negative may be a list of texts. Columns of other names are not read. These are also the columns of the
    datasets that sentence-transformers trains on.

    Args:
        path: `.jsonl`, `.jsonl.gz`, `.csv`, `.tsv` or `.parquet`; or a BEIR folder, whose qrels are judgments.
        scores: How a column of scores is read.

    Raises:
        NotFound: Nothing is at the path.
        InvalidInput: The kind of file or its columns are unknown, or a line is wrong; the message names file
            and line.
        MissingExtra: Parquet is to be read and pyarrow is not installed.
    """
    if path.is_dir():
        return _beir(path)
    if not path.is_file():
        raise NotFound(f"no file or folder at {path}", field="path")
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise InvalidInput(f"{path} has no line", field="path")
    columns = _columns(first[1], first[0])
    whole = chain([first], rows)
    if columns.document is not None:
        return Labelled("judgments", (_label(row, columns, where) for where, row in whole))
    return Labelled("pairs", (line for where, row in whole for line in _pairs(row, columns, scores, where)))


def _beir(folder: Path) -> Labelled:
    lines = read_judgments(folder)
    first = next(lines, None)
    if first is None:
        wanted = "corpus.jsonl, queries.jsonl and qrels/*.tsv"
        raise InvalidInput(f"a folder must be a BEIR folder with {wanted}, got {folder}", field="path")
    return Labelled("judgments", chain([first], lines))


@dataclass(frozen=True, slots=True)
class _Columns:
    anchor: str
    document: str | None
    grade: str | None
    positive: str | None
    negatives: tuple[str, ...]
    score: str | None


def _columns(row: Mapping[str, Any], where: str) -> _Columns:
    def first(names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in row), None)

    anchor = first(_ANCHORS)
    numbered = sorted(
        (name for name in row if name.startswith("negative_") and name[9:].isdecimal()),
        key=lambda name: int(name[9:]),
    )
    found = _Columns(
        anchor=anchor or "",
        document="document_id" if "document_id" in row else None,
        grade=first(_GRADES),
        positive=first(_POSITIVES),
        negatives=(*(name for name in _NEGATIVES if name in row), *numbered),
        score=first(_SCORES),
    )
    if anchor is None or (found.document is None and found.positive is None):
        raise InvalidInput(
            f"{where}: columns must be an anchor ({', '.join(_ANCHORS)}) and document_id or a positive "
            f"({', '.join(_POSITIVES)}), got {sorted(row)!r:.300}",
            field="path",
        )
    return found


def _label(row: Mapping[str, Any], columns: _Columns, where: str) -> LabelLine:
    grade = row.get(columns.grade, 1) if columns.grade is not None else 1
    if isinstance(grade, str) and grade.strip().isdecimal():
        grade = int(grade)
    if isinstance(grade, bool) or not isinstance(grade, int) or not 0 <= grade <= MAX_GRADE:
        raise InvalidInput(f"{where}: grade must be 0..{MAX_GRADE}, got {grade!r:.80}", field="grade")
    line: LabelLine = {
        "query": _text(row, columns.anchor, where),
        "document_id": _text(row, "document_id", where),
        "grade": grade,
    }
    split = _split(row, where)
    return line if split is None else {**line, "split": split}


def _pairs(row: Mapping[str, Any], columns: _Columns, scores: Scores, where: str) -> Iterator[PairLine]:
    """One line for each positive; the negatives go with the first."""
    anchor = _text(row, columns.anchor, where)
    positives = _texts(row, columns.positive or "", where)
    negatives = [text for name in columns.negatives for text in _texts(row, name, where)]
    if columns.score is not None and not scores.relevant(row.get(columns.score), where):
        positives, negatives = [], [*positives, *negatives]
    if not positives and not negatives:
        raise InvalidInput(f"{where}: {columns.positive} must not be empty", field=columns.positive)
    told: dict[str, str] = {}
    split = _split(row, where)
    if split is not None:
        told["split"] = split
    for number, positive in enumerate(positives or [None]):
        line: dict[str, Any] = {"anchor": anchor, **told}
        if positive is not None:
            line["positive"] = positive
        if negatives and number == 0:
            line["negatives"] = negatives
        yield PairLine(**line)  # type: ignore[typeddict-item]


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{where}: {name} must be a text that is not blank, got {value!r:.80}", field=name)
    return value


def _texts(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    value = row.get(name)
    values = value if isinstance(value, list) else [] if value in (None, "") else [value]
    for one in values:
        if not isinstance(one, str) or not one.strip():
            raise InvalidInput(
                f"{where}: {name} must be a text or a list of texts, got {one!r:.80}", field=name
            )
    return values


def _split(row: Mapping[str, Any], where: str) -> str | None:
    value = row.get("split")
    if value in (None, ""):
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: split must be a text, got {value!r:.80}", field="split")
    return value


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return objects(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _cells(path, "\t" if path.suffix.lower() == ".tsv" else ",")
    if path.suffix.lower() == ".parquet":
        return _parquet_rows(path)
    kinds = ".jsonl, .jsonl.gz, .csv, .tsv, .parquet or a BEIR folder"
    raise InvalidInput(f"path must be {kinds}, got {path}", field="path")


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtra("reading Parquet needs pyarrow: pip install pyarrow") from error
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(ROWS_PER_READ):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    except (ArrowException, OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as Parquet: {error}", field="path") from error


def _cells(path: Path, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    csv.field_size_limit(MAX_CSV_CELL)
    with opened(path) as stream:
        rows = csv.DictReader(stream, delimiter=delimiter, strict=True)
        try:
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if None in row or None in row.values():
                    raise InvalidInput(f"{where}: must have as many cells as the header", field="path")
                yield where, row
        except csv.Error as error:
            raise InvalidInput(f"{path}:{rows.reader.line_num}: not CSV: {error}", field="path") from error
