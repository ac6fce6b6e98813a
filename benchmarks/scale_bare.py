"""Bare insertion: `python -m benchmarks.scale_bare` upserts the same rows with pymilvus alone, in one process.

The rows, their schema, their index and the number of rows in a message are those of the job. Encoding is done
before the clock starts; there is no catalog, no shard, no lease, no second thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from pymilvus import MilvusClient

from benchmarks import child, scale_model
from benchmarks.floor import encoder_of
from embedloop.encoder import Vectors
from embedloop.index_rows import as_row, passage_id
from embedloop.index_schema import collection_schema, index_parameters
from embedloop.policy import IndexSettings
from embedloop.records.documents import Passage
from embedloop.text.chunking import embedding_text

COLLECTION = "bare_insertion"
TIMEOUT_SECONDS = 60.0


def main(config: dict[str, Any]) -> dict[str, Any]:
    """Inserts `documents` rows, `message_rows` at a time; the collection is dropped at the end."""
    client = MilvusClient(uri=config["milvus"], timeout=TIMEOUT_SECONDS)
    settings = IndexSettings()
    rows = _rows(config)
    client.create_collection(
        COLLECTION,
        schema=collection_schema(scale_model.DIMENSION, settings),
        consistency_level="Strong",
    )
    client.create_index(COLLECTION, index_parameters(settings))
    client.load_collection(COLLECTION)
    before = time.process_time()
    begin = time.perf_counter()
    for message in _messages(rows, config["message_rows"]):
        client.upsert(COLLECTION, message, timeout=TIMEOUT_SECONDS)
    seconds = time.perf_counter() - begin
    used = time.process_time() - before
    client.drop_collection(COLLECTION)
    client.close()
    return {
        "rows": len(rows),
        "rows_per_message": config["message_rows"],
        "seconds": round(seconds, 2),
        "rows_per_second": round(len(rows) / seconds, 1),
        "cpu_ms_per_row": round(1000 * used / len(rows), 4),
    }


def _rows(config: dict[str, Any]) -> list[dict[str, Any]]:
    documents = list(scale_model.documents(config["documents"]))
    texts = [embedding_text(one["title"], one["text"]) for one in documents]
    vectors: Vectors = encoder_of(config).encode_passages(texts)
    return [
        as_row(
            Passage(
                passage_id=passage_id(one["id"], 1, 0),
                document_id=one["id"],
                rev=1,
                ordinal=0,
                title=one["title"],
                text=one["text"],
                metadata={},
            ),
            vector,
        )
        for one, vector in zip(documents, vectors, strict=True)
    ]


def _messages(rows: Sequence[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


if __name__ == "__main__":
    child.answer(main)
