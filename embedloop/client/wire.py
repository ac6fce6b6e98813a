"""Requests and answers as values: what a call is, how its errors are read, when it is tried again. No I/O."""

from __future__ import annotations

import json
import random
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx

from embedloop import errors
from embedloop.errors import (
    Conflict,
    DeadlineExceeded,
    EmbedloopError,
    Forbidden,
    InvalidInput,
    NotFound,
    QueueFull,
    TooLarge,
    Unauthorised,
    Unavailable,
)

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.1
_ERROR_OF_STATUS: Mapping[int, type[EmbedloopError]] = {
    400: InvalidInput,
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: InvalidInput,
    429: QueueFull,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to read its answer.

    Attributes:
        parse: Takes the status and the body of an accepted answer.
        repeatable: Whether doing it twice leaves the same state and the same answer.
        accepts: Statuses beside 2xx that `parse` understands.
        extra_seconds: How much longer than usual the service may take.
    """

    method: str
    path: str
    parse: Callable[[int, bytes], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    accepts: tuple[int, ...] = ()
    extra_seconds: float = 0.0

    def request(self, base_url: str, timeout_seconds: float) -> dict[str, Any]:
        """Spell the call out as the arguments of httpx's `request` and `stream`."""
        query = f"?{urlencode(self.query)}" if self.query else ""
        return {
            "method": self.method,
            "url": f"{base_url}{self.path}{query}",
            "content": self.body,
            "headers": dict(self.headers),
            "timeout": httpx.Timeout(timeout_seconds, read=timeout_seconds + self.extra_seconds),
        }

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> T:
        """Turn an answer into the call's result, or raise the error that it describes."""
        if not 200 <= status < 300 and status not in self.accepts:
            raise failure(status, headers.get("retry-after"), body)
        try:
            return self.parse(status, body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            start = body[:200].decode("utf-8", "replace")
            raise EmbedloopError(
                f"{self.method} {self.path} was answered by something else than Embedloop: {start!r}"
            ) from error


def segment(value: str, name: str) -> str:
    """Quote an id so that it is exactly one segment of a path.

    Raises:
        InvalidInput: It is empty, or no text that UTF-8 can hold.
    """
    if not value:
        raise InvalidInput(f"{name} must not be empty", field=name)
    if value in (".", ".."):
        return value.replace(".", "%2E")  # left alone, these would climb to the parent resource
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} must be valid Unicode, got {value!r}", field=name) from error


def encoded(value: Any) -> bytes:
    """Write JSON in UTF-8, on one line.

    Raises:
        InvalidInput: It holds NaN, half a surrogate pair or something that JSON lacks.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}") from error


def address(base_url: str) -> str:
    """Check the service's address.

    Raises:
        InvalidInput: It is no http or https URL.
    """
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(f"base_url must be like http://127.0.0.1:8080, got {base_url!r}", field="base_url")
    return base_url.rstrip("/")


def authorisation(api_key: str) -> dict[str, str]:
    """Build the headers that carry the key.

    Raises:
        InvalidInput: The key has characters that no header can carry.
    """
    key = api_key.strip()
    if not key.isascii() or not key.isprintable():
        raise InvalidInput("api_key must be printable ASCII", field="api_key")
    return {"Authorization": f"Bearer {key}"} if key else {}


@cache
def tls_context() -> ssl.SSLContext:
    """Load the trusted certificates once: it takes as long as many a call."""
    return httpx.create_ssl_context()


def failure(status: int, retry_after: str | None, body: bytes) -> EmbedloopError:
    """Read a problem+json body into the error class of its code; other bodies go by their status."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    by_status = _ERROR_OF_STATUS.get(status, EmbedloopError)
    kind = _errors_by_code().get(str(problem.get("code")), by_status)
    message = problem.get("detail") or problem.get("title") or f"the service answered {status}"
    return kind(str(message), field=problem.get("field"), retry_after_seconds=_seconds(retry_after))


@contextmanager
def translated(base_url: str) -> Iterator[None]:
    """Turn httpx's errors into Embedloop's.

    Raises:
        DeadlineExceeded: The service took too long.
        Unavailable: It cannot be reached, or the connection broke.
    """
    try:
        yield
    except httpx.TimeoutException as error:
        raise DeadlineExceeded(f"{base_url} did not answer in time ({type(error).__name__})") from error
    except httpx.RequestError as error:
        raise Unavailable(f"{base_url} cannot be reached: {error or type(error).__name__}") from error


def pause_before_retry(
    call: Call[Any], error: EmbedloopError, *, attempt: int, retries: int, longest: float
) -> float | None:
    """Decide whether a call is tried again.

    Args:
        call: What failed.
        error: How it failed.
        attempt: How often it was tried again already.
        retries: How often it may be.
        longest: Seconds that the caller is willing to wait before one retry.

    Returns:
        Seconds to wait, or None to give up.
    """
    if attempt >= retries or not error.retryable or isinstance(error, DeadlineExceeded):
        return None
    if error.retry_after_seconds is not None:
        return error.retry_after_seconds if error.retry_after_seconds <= longest else None
    never_sent = isinstance(error.__cause__, httpx.ConnectError)
    if not (call.repeatable or never_sent):
        return None
    return float(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.0))


def _errors_by_code() -> dict[str, type[EmbedloopError]]:
    """Only the public taxonomy: adapters may refine a class for themselves."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    # One that only inherits its code is a finer distinction of ours.
    return {kind.code: kind for kind in kinds if issubclass(kind, EmbedloopError) and "code" in vars(kind)}


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else None
