"""Whether a collection is searched through its finished index, asked of the server."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

# Smaller segments get no index: they are scanned, which finds everything.
ROWS_OF_AN_INDEXED_SEGMENT = 1024
_SEALED, _LEVEL_OF_DELETES = 3, 1


class Handover(Enum):
    """How far a server is with what was flushed."""

    PENDING = auto()
    # Sealed segments are searched; whether through their indexes, not every server tells.
    SEGMENTS = auto()
    INDEXES = auto()


def handover(client: Any, collection: str, lists_segments: bool, timeout_seconds: float) -> Handover:
    """Whether every flushed row is indexed, and in a segment that was handed over to searches with its index.

    A server builds an index in the background and goes on searching the growing segment, over 4,992 rows
    through an interim index of low recall, until a sealed one is loaded in its place; Milvus 2.3 searches that
    one, too, without its index for a second or two.

    Args:
        client: A `pymilvus.MilvusClient`.
        collection: Physical name; flushed and loaded.
        lists_segments: Whether the server can list the segments that are loaded.
        timeout_seconds: Of each call.
    """
    names = client.list_indexes(collection, timeout=timeout_seconds)
    described = [client.describe_index(collection, name, timeout=timeout_seconds) for name in names]
    rows = max((int(one.get("total_rows") or 0) for one in described), default=0)
    if rows < ROWS_OF_AN_INDEXED_SEGMENT:
        return Handover.INDEXES
    if any(int(one.get("pending_index_rows") or 0) for one in described):
        return Handover.PENDING
    if not lists_segments:
        return Handover.INDEXES
    sealed = [
        segment
        for segment in client.list_loaded_segments(collection, timeout=timeout_seconds)
        if int(segment.state) == _SEALED and int(segment.level) != _LEVEL_OF_DELETES
    ]
    if sum(int(segment.num_rows) for segment in sealed) < rows:
        return Handover.PENDING
    large = [segment for segment in sealed if int(segment.num_rows) >= ROWS_OF_AN_INDEXED_SEGMENT]
    return Handover.INDEXES if all(segment.index_name for segment in large) else Handover.SEGMENTS
