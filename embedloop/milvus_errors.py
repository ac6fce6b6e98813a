"""What an error of Milvus means to Embedloop: whose fault it is, and whether trying again can help.

Pure: it takes codes and texts. Milvus' codes come first, for texts change between versions; its versions before
2.6 answer many faults of the caller under a code that says nothing, and Milvus Lite does so for some.
What is not known for a fault of the caller may pass: taking it for one would blame a document for a bad hour.
"""

from __future__ import annotations

from embedloop.errors import (
    CollectionNotFound,
    DeadlineExceeded,
    EmbedloopError,
    InvalidInput,
    Misconfigured,
    Unavailable,
    Unexplained,
)

NOT_FOUND = frozenset({100, 1600})  # collection, alias
NOT_LOADED = frozenset({101, 201})  # collection, partition
NO_ACCESS = frozenset({1400, 1401, 1800})
UNKNOWN_CALL = frozenset({10, 3000})
TIMED_OUT = frozenset({10001})
INVALID = frozenset(
    # 6 is Milvus Lite's illegal argument; 11xx are parameters, 16xx aliases, 17xx fields, 18xx requests.
    {6, 105, 107, 701, 802, 1100, 1101, 1102, 1601, 1602, 1700, 1701, 1801, 1802, 1803, 1804, 1806}
)
# 0 and 1: no code, or that of pymilvus' own errors and of Milvus Lite's surprises; 2000: the engine's core.
SAYS_NOTHING = frozenset({0, 1, 5, 2000, 65_535})
# A server that starts, or whose part has lost its heartbeat: "service not ready[standalone=1]: Abnormal".
_AWAY_TEXTS = ("service not ready",)
_INVALID_TEXTS = (
    "already exist",
    "cannot parse expression",
    "dimension mismatch",
    "duplicate collection",
    "exceeds max length",
    "invalid dimension",
    "invalid expression",
    "invalid index type",
    "invalid parameter",
    "is invalid, top k",
    "is not a number or infinity",
    "should be in range",
    "should divide the dim",
    "unexpected character",
    "unexpected token",
)


class NotLoaded(Unavailable):
    """The collection exists and is not loaded."""


def translated(
    code: int | str, text: str, *, is_input_error: bool = False, is_retriable: bool = False
) -> EmbedloopError:
    """The error of Embedloop's own that stands for one of Milvus.

    Args:
        code: Milvus' number, or the name of a gRPC status (`UNAVAILABLE`) when no answer of Milvus came.
        text: What Milvus said.
        is_input_error: Milvus itself, or its client, holds the caller's data for wrong.
        is_retriable: Milvus itself says that the same call can work later.
    """
    lowered = text.lower()
    if isinstance(code, str):
        return _of_status(code, text)
    if code in NOT_LOADED or (code in SAYS_NOTHING and "not loaded" in lowered):
        return NotLoaded(f"the collection is not loaded: {text}", retry_after_seconds=1)
    if code in NOT_FOUND or (code in SAYS_NOTHING and "can't find collection" in lowered):
        return CollectionNotFound(text)
    if code in NO_ACCESS or (code in SAYS_NOTHING and "auth check failure" in lowered):
        return _no_access(text)
    if code in UNKNOWN_CALL:
        return _unknown_call(text)
    if code in TIMED_OUT:
        return _late(text)
    if is_retriable or (code in SAYS_NOTHING and any(known in lowered for known in _AWAY_TEXTS)):
        return _away(text)
    if is_input_error or code in INVALID or (code in SAYS_NOTHING and _is_of_the_caller(lowered)):
        return InvalidInput(f"Milvus refused the call: {text}")
    if code in SAYS_NOTHING and ("deadline" in lowered or "timeout" in lowered):
        return _late(text)
    return _unexplained(text) if code in SAYS_NOTHING else _away(text)


def _of_status(status: str, text: str) -> EmbedloopError:
    match status:
        case "DEADLINE_EXCEEDED":
            return _late(text)
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return _no_access(text)
        case "UNIMPLEMENTED":
            return _unknown_call(text)
        case "INVALID_ARGUMENT" | "OUT_OF_RANGE":
            return InvalidInput(f"Milvus refused the call: {text}")
        case "INTERNAL" | "UNKNOWN":
            return _unexplained(f"{status}: {text}")
        case _:
            return _away(f"{status}: {text}")


def _is_of_the_caller(lowered: str) -> bool:
    return any(known in lowered for known in _INVALID_TEXTS)


def _away(text: str) -> Unavailable:
    return Unavailable(f"Milvus cannot do this now: {text}", retry_after_seconds=2)


def _unexplained(text: str) -> Unexplained:
    return Unexplained(f"Milvus cannot do this now: {text}", retry_after_seconds=2)


def _late(text: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"Milvus did not answer in time: {text}", retry_after_seconds=1)


def _no_access(text: str) -> Misconfigured:
    return Misconfigured(f"Milvus refuses EMBEDLOOP_MILVUS_TOKEN, or its rights do not reach: {text}")


def _unknown_call(text: str) -> Misconfigured:
    return Misconfigured(f"this Milvus does not know the call: {text}")
