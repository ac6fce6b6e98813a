"""What `embedloop ingest PATH` reads: BEIR folders, JSONL, CSV, and folders of text, Markdown, HTML and mail.

Everything is read lazily, one document at a time; only the queries of a BEIR folder are held in memory. Files
are sent as they are, with their content type: the service cleans them as the policy of the corpus says.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any, Literal, NotRequired, TextIO, TypedDict

from embedloop.errors import InvalidInput, NotFound
from embedloop.text.cleaned import ContentType

SPLIT_OF_FILE = {"train": "train", "dev": "dev", "test": "golden", "golden": "golden"}
_METADATA_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MAX_GRADE = 3
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]+")
MAX_CSV_CELL = 16_000_000  # csv's own limit, 131,072 characters, is below a long document


class DocumentLine(TypedDict):
    """One line of the bulk documents route; `op` only where a document is to be deleted."""

    id: str
    title: NotRequired[str]
    text: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    content_type: NotRequired[str]
    op: NotRequired[Literal["delete"]]


class JudgmentLine(TypedDict):
    """One line of the bulk judgments route; `grade` is 0..3, 0 is "not relevant"."""

    query: str
    document_id: str
    grade: int
    split: str


class QuestionLine(TypedDict):
    """A question with the answers that are right."""

    question: str
    answers: list[str]


def read_documents(path: Path) -> Iterator[DocumentLine]:
    """Read the documents at a path, in the order of the file, or of the names in a folder.

    Args:
        path: A BEIR folder (with `corpus.jsonl` or `corpus.jsonl.gz`), a `.jsonl`, `.jsonl.gz` or `.csv`
            file, a `.txt`, `.md`, `.html` or `.eml` file, or a folder of these last four.

    Raises:
        NotFound: Nothing is at the path.
        InvalidInput: The kind of file is unknown, or a line is wrong; the message names file and line.
    """
    if path.is_dir():
        corpus = _jsonl_in(path, "corpus")
        return _jsonl_documents(corpus) if corpus else _folder_documents(path)
    if not path.is_file():
        raise NotFound(f"no file or folder at {path}", field="path")
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return _jsonl_documents(path)
    if path.suffix.lower() == ".csv":
        return _csv_documents(path)
    if path.suffix.lower() in _CONTENT_TYPES:
        return iter([_file_document(path, path.name)])
    kinds = ".jsonl, .jsonl.gz, .csv, .txt, .md, .html, .eml or a folder"
    raise InvalidInput(f"path must be {kinds}, got {path}", field="path")


def read_judgments(path: Path) -> Iterator[JudgmentLine]:
    """Read the judgments of a BEIR folder; other paths have none.

    The split comes from the file in `qrels/`: `train.tsv`, `dev.tsv`, and `test.tsv` is the golden set. A
    negative grade, as TREC uses for spam, is read as 0.

    Raises:
        InvalidInput: A line is wrong, or names a query that `queries.jsonl` lacks.
    """
    files = sorted((path / "qrels").glob("*.tsv")) if path.is_dir() else []
    if not files or _jsonl_in(path, "corpus") is None:
        return
    queries_file = _jsonl_in(path, "queries")
    if queries_file is None:
        raise InvalidInput(f"{path} has qrels and no queries.jsonl", field="path")
    queries = {_id(line, where): _string(line, "text", where) for where, line in objects(queries_file)}
    for file in files:
        yield from _qrels(file, queries)


def read_questions(file: Path) -> list[QuestionLine]:
    """Read a JSONL file of questions with the answers that are right.

    Raises:
        InvalidInput: The file cannot be read, or a line is wrong; the message names file and line.
    """
    questions: list[QuestionLine] = []
    for where, line in objects(file):
        answers = line.get("answers")
        if not isinstance(answers, list) or not answers or not all(isinstance(one, str) for one in answers):
            raise InvalidInput(f"{where}: answers must be a list of texts, got {answers!r}", field="answers")
        question = _string(line, "question", where)
        if not question.strip():
            raise InvalidInput(f"{where}: question must not be blank", field="question")
        questions.append({"question": question, "answers": answers})
    return questions


def import_name(path: Path) -> str:
    """What an import of this file or folder is called in the lineage of its labels.

    >>> import_name(Path("labels/our faq (2).csv"))
    'our-faq-2-.csv'
    """
    return _UNNAMEABLE.sub("-", path.resolve().name).strip("-.")[:100] or "import"


def _jsonl_in(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}.jsonl", folder / f"{stem}.jsonl.gz")
    return next((file for file in candidates if file.is_file()), None)


@contextmanager
def opened(file: Path) -> Iterator[TextIO]:
    """Open a text file, gzipped or not, and say which one it was when it cannot be read."""
    opener: Callable[..., Any] = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8-sig", newline="") as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} must be UTF-8: {error}", field="path") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{file} cannot be read: {error}", field="path") from error


def objects(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's place (`corpus.jsonl:3`) and object."""
    with opened(file) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            where = f"{file}:{number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidInput(f"{where}: not JSON: {error}", field="path") from error
            if not isinstance(value, dict):
                raise InvalidInput(f"{where}: must be an object, got {type(value).__name__}", field="path")
            yield where, value


def _jsonl_documents(file: Path) -> Iterator[DocumentLine]:
    for where, line in objects(file):
        document_id = _id(line, where)
        if line.get("op") == "delete":
            yield {"id": document_id, "op": "delete"}
            continue
        metadata = line.get("metadata") or {}
        if not isinstance(metadata, dict):
            found = type(metadata).__name__
            raise InvalidInput(f"{where}: metadata must be an object, got {found}", field="metadata")
        document: DocumentLine = {
            "id": document_id,
            "title": _string(line, "title", where),
            "text": _string(line, "text", where),
            "metadata": {key: value for key, value in metadata.items() if value is not None},
        }
        if line.get("content_type") is not None:
            document["content_type"] = _content_type(line, where)
        yield document


def _content_type(line: dict[str, Any], where: str) -> str:
    value = line["content_type"]
    known = [kind.value for kind in ContentType]
    if value not in known:
        message = f"{where}: content_type must be one of {', '.join(known)}, got {value!r:.80}"
        raise InvalidInput(message, field="content_type")
    return str(value)


def _id(line: dict[str, Any], where: str) -> str:
    value = line.get("id", line.get("_id"))
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InvalidInput(f"{where}: id (or _id) must be a string, got {value!r}", field="id")
    return str(value)


def _string(line: dict[str, Any], key: str, where: str) -> str:
    value = line.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: {key} must be a string, got {type(value).__name__}", field=key)
    return value


def _csv_documents(file: Path) -> Iterator[DocumentLine]:
    csv.field_size_limit(MAX_CSV_CELL)
    with opened(file) as stream:
        rows = csv.DictReader(stream, strict=True)
        columns = _csv_columns(file, rows)
        try:
            for row in rows:
                where = f"{file}:{rows.line_num}"
                if None in row or None in row.values():
                    raise InvalidInput(f"{where}: must have {len(columns)} cells as the header", field="path")
                if not row["id"]:
                    raise InvalidInput(f"{where}: id must not be empty", field="id")
                named = {"id", "title", "text"}
                yield {
                    "id": row["id"],
                    "title": row.get("title", ""),
                    "text": row.get("text", ""),
                    "metadata": {key: row[key] for key in columns if key not in named and row[key] != ""},
                }
        except csv.Error as error:
            raise InvalidInput(f"{file}:{rows.reader.line_num}: not CSV: {error}", field="path") from error


def _csv_columns(file: Path, rows: csv.DictReader[str]) -> list[str]:
    try:
        columns = list(rows.fieldnames or [])
    except csv.Error as error:
        raise InvalidInput(f"{file}:1: not CSV: {error}", field="path") from error
    if "id" not in columns or not {"title", "text"} & set(columns):
        raise InvalidInput(f"{file}:1: columns must be id and title or text, got {columns}", field="path")
    for column in columns:
        if not _METADATA_KEY.fullmatch(column) or columns.count(column) > 1:
            rule = "be unique and made of letters, digits and _ (64 at most, no digit first)"
            raise InvalidInput(f"{file}:1: column names must {rule}, got {column!r}", field="path")
    return columns


def _folder_documents(folder: Path) -> Iterator[DocumentLine]:
    found = False
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if file.suffix.lower() in _CONTENT_TYPES and file.is_file() and not hidden:
            found = True
            yield _file_document(file, name.as_posix())
    if not found:
        raise InvalidInput(f"{folder} must hold corpus.jsonl, or .txt, .md, .html or .eml files", field="path")


def _file_document(file: Path, document_id: str) -> DocumentLine:
    kind = _CONTENT_TYPES[file.suffix.lower()]
    text = _mail(file) if kind is ContentType.MAIL else _whole(file)
    if kind is ContentType.TEXT:
        return {"id": document_id, "title": file.stem, "text": text, "metadata": {}}
    # Their titles are inside.
    return {"id": document_id, "text": text, "metadata": {}, "content_type": kind.value}


def _whole(file: Path) -> str:
    with opened(file) as stream:
        return stream.read()


def _mail(file: Path) -> str:
    """A mail as ASCII: bodies in another charset than UTF-8 are encoded anew, as JSON could not hold them."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error}", field="path") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return message_from_bytes(data).as_string()


_CONTENT_TYPES = {
    ".txt": ContentType.TEXT,
    ".md": ContentType.MARKDOWN,
    ".html": ContentType.HTML,
    ".htm": ContentType.HTML,
    ".eml": ContentType.MAIL,
}


def _qrels(file: Path, queries: dict[str, str]) -> Iterator[JudgmentLine]:
    split = SPLIT_OF_FILE.get(file.stem)
    if split is None:
        known = ", ".join(f"{stem}.tsv" for stem in SPLIT_OF_FILE)
        raise InvalidInput(f"qrels files must be named {known}, got {file}", field="path")
    with opened(file) as stream:
        for number, line in enumerate(stream, 1):
            cells = line.rstrip("\r\n").split("\t")
            if number == 1 or cells == [""]:  # the first line is the header
                continue
            where = f"{file}:{number}"
            if len(cells) != 3:
                raise InvalidInput(f"{where}: must be query, document and grade, got {line!r}", field="path")
            query_id, document_id, grade = cells
            if query_id not in queries:
                raise InvalidInput(f"{where}: query {query_id!r} is not in queries.jsonl", field="path")
            yield {
                "query": queries[query_id],
                "document_id": document_id,
                "grade": _grade(grade, where),
                "split": split,
            }


def _grade(cell: str, where: str) -> int:
    try:
        grade = int(cell)
    except ValueError as error:
        raise InvalidInput(f"{where}: grade must be a whole number, got {cell!r}", field="grade") from error
    if grade > _MAX_GRADE:
        raise InvalidInput(f"{where}: grade must be 0..{_MAX_GRADE}, got {grade}", field="grade")
    return max(grade, 0)
