"""Rows of Milvus: their keys, passages as rows in messages that it takes, and what it answers as hits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from embedloop.encoder import Vectors
from embedloop.errors import InvalidInput
from embedloop.policy import VectorType
from embedloop.records.documents import Hit, Passage
from embedloop.vector_types import finest_field, unpacked

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_TEXT_BYTES = 65_535
MAX_TITLE_BYTES = 16_384
FIELDS = ["passage_id", "document_id", "rev", "ordinal", "title", "text", "metadata"]


@dataclass(frozen=True, slots=True)
class Row:
    """What a scan of a collection yields: a row's identity and, if asked for, its vector `(dim,)` float32."""

    passage_id: str
    document_id: str
    rev: int
    vector: Vectors | None


def passage_id(document_id: str, rev: int, ordinal: int) -> str:
    """Primary key of a row: 128 bits of BLAKE2b over (document, rev, ordinal), so that rows never overwrite."""
    key = json.dumps([document_id, rev, ordinal], ensure_ascii=False)
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def as_row(passage: Passage, vector: NDArray[Any]) -> dict[str, Any]:
    """The row of a passage with its packed vector; raises InvalidInput for a text longer than Milvus stores."""
    size = len(passage.text.encode())
    if size > MAX_TEXT_BYTES:
        raise InvalidInput(f"a passage holds at most {MAX_TEXT_BYTES} bytes of text, got {size}", field="text")
    return {
        "passage_id": passage.passage_id,
        "document_id": passage.document_id,
        "rev": passage.rev,
        "ordinal": passage.ordinal,
        "title": passage.title,
        "text": passage.text,
        "metadata": dict(passage.metadata),
        "vector": vector,
    }


def messages(rows: Sequence[dict[str, Any]], dimension: int) -> Iterator[list[dict[str, Any]]]:
    """The rows in messages of at most `MAX_MESSAGE_BYTES`, each text counted as if all of it were wide."""
    message: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        metadata = json.dumps(row["metadata"])
        row_bytes = 4 * dimension + 4 * (len(row["text"]) + len(row["title"])) + len(metadata) + 1024
        if message and size + row_bytes > MAX_MESSAGE_BYTES:
            yield message
            message, size = [], 0
        message.append(row)
        size += row_bytes
    if message:
        yield message


def as_found(entity: dict[str, Any], vector_type: VectorType) -> Row:
    """A scanned row as pymilvus hands it out, which gives its vector away.

    There a vector is hundreds of Python floats, eight times the size of its array.
    """
    vector = entity.pop(finest_field(vector_type), None)
    return Row(
        entity["passage_id"],
        entity["document_id"],
        int(entity["rev"]),
        None if vector is None else unpacked(vector, vector_type),
    )


def as_passage(entity: Any) -> Passage:
    """A row's `FIELDS` as pymilvus hands them out."""
    metadata = entity["metadata"]
    return Passage(
        passage_id=entity["passage_id"],
        document_id=entity["document_id"],
        rev=int(entity["rev"]),
        ordinal=int(entity["ordinal"]),
        title=entity["title"],
        text=entity["text"],
        metadata=json.loads(metadata) if isinstance(metadata, str | bytes) else metadata,
    )


def as_hit(hit: Any, score_of: Callable[[float], float]) -> Hit:
    """A hit as pymilvus hands it out; `score_of` makes the score of what Milvus calls the distance."""
    return Hit(as_passage(hit["entity"]), score_of(float(hit["distance"])))
