"""All rows of a collection, page by page, in memory that depends neither on its rows nor on its segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from embedloop.milvus_call import call

# Small enough for a collection of many segments, and after a few pages as large as it may be.
FIRST_PAGE_SHARE = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read, and how.

    Attributes:
        client: A `pymilvus.MilvusClient`.
        run: Runs a call of it, and loads the collection where a restart left it released.
        collection: Physical name.
        fields: Of each row; the first is the primary key.
        rows: About how many a page holds.
        timeout_seconds: Of each call.
    """

    client: Any
    run: Callable[[Callable[[], Any]], Any]
    collection: str
    fields: Sequence[str]
    rows: int
    timeout_seconds: float


def iterated(reading: Reading) -> Iterator[list[dict[str, Any]]]:
    """Pages of an iterator that reads at a time which the server gives."""
    iterator = reading.run(
        partial(
            reading.client.query_iterator,
            reading.collection,
            batch_size=reading.rows,
            output_fields=reading.fields,
            timeout=reading.timeout_seconds,
        )
    )
    try:
        while page := call(iterator.next):
            yield page
    finally:
        iterator.close()


def paged(reading: Reading, *, as_of_now: bool) -> Iterator[list[dict[str, Any]]]:
    """What an iterator does, without a time to read at: it would be this machine's, and miss late rows.

    Args:
        reading: What to read.
        as_of_now: Every page reads what was acknowledged before the first, so that only that one waits. False
            lets each wait for what was acknowledged before itself: a server may answer at its next tick only.
    """
    key = reading.fields[0]
    how = _as_of_now(reading) if as_of_now else {"iterator": "True"}
    last, limit = "", max(1, reading.rows // FIRST_PAGE_SHARE)
    while page := reading.run(partial(_page_after, reading, f'{key} > "{last}"', limit, how)):
        yield page
        last, limit = page[-1][key], next_limit(limit, len(page), reading.rows)


def next_limit(limit: int, got: int, rows: int) -> int:
    """The limit of the next page, when `limit` brought `got` rows and about `rows` are wanted.

    A server takes the limit as one of each segment, and answers up to the key where the first segment has no
    more of its rows: a page holds many times the limit where there are many segments. It grows twofold at most,
    for one short page says little.

    >>> next_limit(125, 125, 1000), next_limit(125, 480, 1000), next_limit(1000, 4000, 1000)
    (250, 250, 250)
    >>> next_limit(250, 1000, 1000), next_limit(1000, 3, 1000), next_limit(1, 5000, 1000)
    (250, 1000, 1)
    """
    return max(1, min(2 * limit, rows, limit * rows // got))


def _as_of_now(reading: Reading) -> dict[str, Any]:
    # Of the server's own clock. The client has no public call for it; the contract tests make this one.
    connection = reading.client._get_connection()
    timestamp = call(partial(connection.alloc_timestamp, timeout=reading.timeout_seconds))
    return {"consistency_level": "Customized", "guarantee_timestamp": timestamp}


def _page_after(reading: Reading, condition: str, limit: int, how: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that fulfil the condition and have the least keys, in the order of keys."""
    rows: list[dict[str, Any]] = reading.client.query(
        reading.collection,
        filter=condition,
        limit=limit,
        output_fields=reading.fields,
        timeout=reading.timeout_seconds,
        # Without it, rows are passed over where a key was written more than once.
        reduce_stop_for_best="True",
        **how,
    )
    return rows
