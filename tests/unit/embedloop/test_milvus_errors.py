"""What Milvus' errors mean: whose fault they are, and whether trying again can help."""

from __future__ import annotations

import pytest

from embedloop.errors import (
    CollectionNotFound,
    DeadlineExceeded,
    EmbedloopError,
    InvalidInput,
    Misconfigured,
    Unavailable,
    Unexplained,
)
from embedloop.milvus_errors import NotLoaded, translated

MET = [
    # Milvus Lite 3.2.2
    (100, "collection 'nope' does not exist", CollectionNotFound),
    (101, "Collection 'a' is in state 'released'; call load() before search/get/query", NotLoaded),
    (6, "vector field 'vector' expected dim 8, got 3", InvalidInput),
    (6, "unknown field 'nofield' at column 1", InvalidInput),
    (1, "alias 'al' already exists", InvalidInput),
    (1, "", Unexplained),
    # Milvus 2.3.5
    (100, "can't find collection collection not found[database=default][collection=nope]", CollectionNotFound),
    (1600, "alias not found[database=default][alias=al0]", CollectionNotFound),
    (101, "failed to search: collection not loaded[collection=470632226970927562]", NotLoaded),
    (1100, "the length (70008) of json field (metadata) exceeds max length (65536)", InvalidInput),
    (65535, "the length(3) of float data should divide the dim(8)", InvalidInput),
    (65535, "invalid dimension: 40000. should be in range 1 ~ 32768", InvalidInput),
    (65535, "invalid index type: HNSW_SQ", InvalidInput),
    (65535, "topk [20000] is invalid, top k should be in range [1, 16384], but got 20000", InvalidInput),
    (65535, "failed to create query plan: cannot parse expression: document_id >>> ", InvalidInput),
    (65535, "al is alias to another collection: a: alias already exist[database=default]", InvalidInput),
    (65535, "index not found[collection=noidx]", Unexplained),
    (9, "deny to write, reason: manually force deny: quota exceeded", Unavailable),
    (1, "service not ready[standalone=1]: Abnormal", Unavailable),
    (65535, "service not ready[proxy=3]: Initializing", Unavailable),
]
BY_CODE = [
    (1, "service not ready[standby=false]", Unavailable),
    (
        2,
        "Fail connecting to server, illegal connection params or server unavailable",
        Unavailable,
    ),
    (3, "memory limit exceeded[predict=30][limit=20]", Unavailable),
    (7, "disk limit exceeded", Unavailable),
    (8, "[upsert] Retry timeout: 10s, message=request is rejected by grpc RateLimiter", Unavailable),
    (9, "quota exceeded[reason=disk quota exceeded]", Unavailable),
    (103, "collection not fully loaded", Unavailable),
    (106, "collection on recovering", Unavailable),
    (503, "channel not available[channel=by-dev-rootcoord-dml_0]", Unavailable),
    (601, "segment not loaded[segment=7]", Unavailable),
    (604, "segment load failed", Unavailable),
    (901, "node not found[node=4]", Unavailable),
    (902, "node offline[node=4]", Unavailable),
    (1001, "IO failed", Unavailable),
    (2000, "segcore error: unexpected", Unexplained),
    (10001, "context deadline exceeded", DeadlineExceeded),
    (1, "[search] Retry timeout: 10s", DeadlineExceeded),
    (65535, "something that nobody has seen before", Unexplained),
    (4711, "invalid parameter of a kind that is not known yet", Unavailable),
    (701, "index type not supported", InvalidInput),
    (1101, "missing parameter", InvalidInput),
    (1804, "fail to deal the insert data", InvalidInput),
    (2000, "vector dimension mismatch, expected vector size(byte) 32, actual 12", InvalidInput),
    (10, "service unimplemented", Misconfigured),
    (1400, "not authenticated", Misconfigured),
    (1401, "privilege not permitted", Misconfigured),
    (1800, "user hasn't authenticated", Misconfigured),
]
BY_STATUS = [
    ("UNAVAILABLE", Unavailable),
    ("RESOURCE_EXHAUSTED", Unavailable),
    ("INTERNAL", Unexplained),
    ("UNKNOWN", Unexplained),
    ("CANCELLED", Unavailable),
    ("DEADLINE_EXCEEDED", DeadlineExceeded),
    ("UNAUTHENTICATED", Misconfigured),
    ("PERMISSION_DENIED", Misconfigured),
    ("UNIMPLEMENTED", Misconfigured),
    ("INVALID_ARGUMENT", InvalidInput),
]


@pytest.mark.parametrize(("code", "text", "kind"), MET + BY_CODE)
def test_a_code_and_a_text_of_milvus_become_one_error(code: int, text: str, kind: type[EmbedloopError]) -> None:
    assert type(translated(code, text)) is kind


@pytest.mark.parametrize(("status", "kind"), BY_STATUS)
def test_a_call_without_an_answer_is_told_by_its_status(status: str, kind: type[EmbedloopError]) -> None:
    assert type(translated(status, "no answer")) is kind


@pytest.mark.parametrize(("code", "text", "kind"), MET + BY_CODE)
def test_only_faults_of_the_caller_and_of_the_deployment_are_not_worth_another_try(
    code: int, text: str, kind: type[EmbedloopError]
) -> None:
    assert translated(code, text).retryable == (kind not in (InvalidInput, Misconfigured))


def test_what_milvus_itself_holds_for_the_callers_fault_or_for_passing_is_believed() -> None:
    assert isinstance(translated(65535, "never seen", is_input_error=True), InvalidInput)
    assert isinstance(translated(1100, "never seen", is_retriable=True), Unavailable)
    assert isinstance(translated(1, "expected str, got int", is_input_error=True), InvalidInput)


def test_a_refused_token_is_named_by_its_setting() -> None:
    assert "EMBEDLOOP_MILVUS_TOKEN" in translated(1400, "not authenticated").message
