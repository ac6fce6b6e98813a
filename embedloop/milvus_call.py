"""Calls of pymilvus, with its errors and those of gRPC told as Embedloop's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import grpc
from pymilvus.exceptions import (
    DataNotMatchException,
    DataTypeNotMatchException,
    MilvusException,
    ParamError,
)

from embedloop.errors import EmbedloopError
from embedloop.milvus_errors import translated

T = TypeVar("T")

# It writes two tracebacks for each call that fails; here every failure is raised, and told once by who called.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

# Raised by pymilvus itself, about what it was given.
_INPUT_ERRORS = (ParamError, DataNotMatchException, DataTypeNotMatchException)


def call(operation: Callable[[], T]) -> T:
    """The operation's result; raises what `embedloop.milvus_errors.translated` makes of a failure."""
    try:
        return operation()
    except MilvusException as error:
        raise _of_milvus(error) from error
    except grpc.RpcError as error:
        status = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
        raise translated(status.name, "no answer") from error


def _of_milvus(error: MilvusException) -> EmbedloopError:
    # When its retries are over, pymilvus puts the status of the last try where Milvus' code would be.
    code = error.code.name if isinstance(error.code, grpc.StatusCode) else error.code
    if isinstance(error.__cause__, grpc.Call) and error.__cause__.code() is grpc.StatusCode.UNAUTHENTICATED:
        # To connect with a wrong token looks to pymilvus as if there were no server.
        code = error.__cause__.code().name
    return translated(
        code,
        str(error.message),
        is_input_error=error.is_input_error or isinstance(error, _INPUT_ERRORS),
        is_retriable=error.retriable,
    )
