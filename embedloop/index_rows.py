"""Passages as rows of Milvus, in messages that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from embedloop.records import Passage

Vectors = NDArray[np.float32]

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_TEXT_BYTES = 65_535
MAX_TITLE_BYTES = 16_384


def as_row(passage: Passage, vector: Vectors) -> dict[str, Any]:
    """The row of a passage; raises InvalidInput for a text that is longer than Milvus stores."""
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
