import asyncio
import socket
import subprocess
import sys

import httpx
import pytest
from starlette.responses import PlainTextResponse

from embedloop import errors
from embedloop.client import AsyncClient, Client
from tests.unit.embedloop.fake_service import KEY, FakeService


def test_importing_the_client_loads_nothing_heavy() -> None:
    heavy = {"torch", "fastapi", "starlette", "celery", "pymilvus", "numpy", "tokenizers", "sqlalchemy"}
    code = f"import sys, embedloop.client; print(sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_search_answers_with_frozen_hits_and_sends_only_what_was_given(
    service: FakeService, client: Client
) -> None:
    found = client.search("c", "what is gout", top_k=2, filter={"field": "topic", "op": "eq", "value": "x"})
    assert (found.retrieval_id, found.index_version, found.model_version) == ("r1", "iv1", "m1")
    assert [hit.rank for hit in found.results] == [1, 2]
    assert found.results[0].metadata == {"topic": "bones", "rank": "major"}
    assert found.took_ms["total"] == 3.6
    with pytest.raises(AttributeError):
        found.verified = False  # type: ignore[misc]
    wanted = {"query": "what is gout", "top_k": 2, "filter": {"field": "topic", "op": "eq", "value": "x"}}
    assert service.seen[-1].json == wanted
    assert service.seen[-1].headers["content-type"] == "application/json"


def test_what_a_reranker_scored_is_told_and_what_it_did_not_is_none(
    service: FakeService, client: Client
) -> None:
    service.reranked = [0.75]
    found = client.search("c", "what is gout", top_k=2)
    assert [hit.rerank_score for hit in found.results] == [0.75, None]
    assert found.raw["reranker"]["reranked"] == 1


@pytest.mark.parametrize(
    "document_id", ["a/b", "..", ".", "a?b#c", "50%41", "किताब 1", "x:bulk", "a b+c&d", ";=,@'"]
)
def test_any_document_id_reaches_its_own_document_and_nothing_else(
    service: FakeService, client: Client, document_id: str
) -> None:
    put = client.put_document("c", document_id, text="Joints.", metadata={"year": 1999}, wait_applied=True)
    assert put["applied"] is True
    assert client.get_document("c", document_id)["metadata"] == {"year": 1999}
    client.delete_document("c", document_id)
    assert service.documents == {}
    assert {path.rsplit("/", 1)[0] for _, path in service.paths()} == {"/v1/corpora/c/documents"}


def test_empty_id_is_refused_before_it_reaches_the_parent_resource(
    service: FakeService, client: Client
) -> None:
    with pytest.raises(errors.InvalidInput, match="document_id must not be empty") as raised:
        client.delete_document("c", "")
    assert raised.value.field == "document_id"
    assert service.seen == []


def test_what_utf8_or_json_cannot_hold_is_refused_before_sending(service: FakeService, client: Client) -> None:
    with pytest.raises(errors.InvalidInput, match="valid Unicode"):
        client.get_document("c", "\ud800")
    with pytest.raises(errors.InvalidInput, match="JSON"):
        client.put_document("c", "d", text="\ud800")
    with pytest.raises(errors.InvalidInput, match="JSON"):
        client.put_document("c", "d", text="x", metadata={"score": float("nan")})
    assert service.seen == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_input", errors.InvalidInput),
        (401, "unauthorised", errors.Unauthorised),
        (403, "forbidden", errors.Forbidden),
        (404, "not_found", errors.NotFound),
        (409, "conflict", errors.Conflict),
        (409, "too_little_feedback", errors.TooLittleFeedback),
        (409, "promotion_refused", errors.PromotionRefused),
        (409, "not_ready", errors.NotReady),
        (413, "too_large", errors.TooLarge),
        (429, "queue_full", errors.QueueFull),
        (503, "unavailable", errors.Unavailable),
        (504, "deadline_exceeded", errors.DeadlineExceeded),
        (500, "internal", errors.EmbedloopError),
        (422, "a_code_of_the_future", errors.InvalidInput),
    ],
)
def test_problem_becomes_the_error_of_its_code_with_its_field(
    service: FakeService, status: int, code: str, kind: type[errors.EmbedloopError]
) -> None:
    service.fail(status, code, detail="so it is", field="policy.gate", retry_after="7")
    with Client(service.url, KEY, retries=0) as client, pytest.raises(errors.EmbedloopError) as raised:
        client.corpora()
    assert type(raised.value) is kind
    assert (raised.value.message, raised.value.field) == ("so it is", "policy.gate")
    assert raised.value.retry_after_seconds == 7


def test_error_page_of_a_proxy_goes_by_its_status(service: FakeService) -> None:
    service.failures.append(PlainTextResponse("<html>Bad gateway", 502))
    with Client(service.url, KEY, retries=0) as client, pytest.raises(errors.Unavailable, match="502"):
        client.corpora()


def test_answer_of_another_server_is_told(service: FakeService, client: Client) -> None:
    service.failures.append(PlainTextResponse("hello"))
    with pytest.raises(errors.EmbedloopError, match=r"/v1/corpora was answered by something else.*hello"):
        client.corpora()


def test_wrong_key_is_unauthorised(service: FakeService) -> None:
    with Client(service.url, "other") as client, pytest.raises(errors.Unauthorised):
        client.corpora()


def test_refusal_with_retry_after_is_tried_again(service: FakeService, client: Client) -> None:
    service.fail(429, "queue_full", retry_after="0")
    service.fail(503, "unavailable", retry_after="0")
    assert client.feedback("r1", "up", "d1") == {"feedback_id": "f1", "status": "stored"}
    assert len(service.seen) == 3


def test_call_that_is_not_repeatable_is_not_tried_again_without_retry_after(
    service: FakeService, client: Client
) -> None:
    service.fail(503, "unavailable")
    with pytest.raises(errors.Unavailable):
        client.feedback("r1", "up", "d1")
    assert len(service.seen) == 1


def test_repeatable_call_is_tried_again_without_retry_after(service: FakeService, client: Client) -> None:
    service.fail(503, "unavailable")
    assert client.corpus("c")["name"] == "c"
    assert len(service.seen) == 2


def test_retries_end(service: FakeService, client: Client) -> None:
    for _ in range(3):
        service.fail(503, "unavailable", retry_after="0")
    with pytest.raises(errors.Unavailable):
        client.corpora()
    assert len(service.seen) == 3


def test_retry_after_longer_than_the_timeout_is_left_to_the_caller(
    service: FakeService, client: Client
) -> None:
    service.fail(503, "unavailable", retry_after="3600")
    with pytest.raises(errors.Unavailable) as raised:
        client.corpora()
    assert raised.value.retry_after_seconds == 3600
    assert len(service.seen) == 1


def test_errors_that_cannot_pass_are_not_tried_again(service: FakeService, client: Client) -> None:
    with pytest.raises(errors.NotFound) as raised:
        client.corpus("other")
    assert raised.value.field == "corpus"
    assert len(service.seen) == 1


def test_service_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", KEY, retries=1) as client, pytest.raises(errors.Unavailable):
        client.corpora()


def test_silent_service_exceeds_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, KEY, timeout_seconds=0.1) as client, pytest.raises(errors.DeadlineExceeded):
            client.corpora()


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "", "http://", "http://host:port"])
def test_address_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(errors.InvalidInput, match="base_url must be like") as raised:
        Client(url, KEY)
    assert raised.value.field == "base_url"


def test_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="api_key"):
        Client("http://127.0.0.1:1", "कुंजी")


def test_job_is_submitted_once_however_often_it_is_sent(service: FakeService, client: Client) -> None:
    service.fail(503, "unavailable", retry_after="0")
    assert client.submit_job("reindex", "c", {"promote": False})["state"] == "queued"
    first, second = (seen.headers["idempotency-key"] for seen in service.seen)
    assert first == second
    client.submit_job("reindex", "c", idempotency_key="mine")
    assert service.seen[-1].headers["idempotency-key"] == "mine"
    assert service.seen[-1].json == {"kind": "reindex", "corpus": "c", "params": {}}


def test_job_events_are_the_jobs_of_the_stream(service: FakeService, client: Client) -> None:
    service.job_states = [{"state": "running", "progress": 0.5}, {"state": "succeeded", "progress": 1.0}]
    assert [event["state"] for event in client.job_events("j1")] == ["running", "succeeded"]
    assert service.seen[-1].headers["accept"] == "text/event-stream"


def test_job_events_of_a_job_that_is_not_there_are_not_found(service: FakeService, client: Client) -> None:
    service.fail(404, "not_found", detail="no such job")
    with pytest.raises(errors.NotFound, match="no such job"):
        list(client.job_events("j9"))


def test_job_events_that_are_none_are_told(service: FakeService, client: Client) -> None:
    service.failures.append(PlainTextResponse("hello"))
    with pytest.raises(errors.EmbedloopError, match="j1 was answered with other than events"):
        list(client.job_events("j1"))


def test_waiting_tells_each_change_once_and_survives_a_restart(service: FakeService) -> None:
    running = {"state": "running", "stage": "embed", "progress": 0.5}
    service.job_states = [running, running, {"state": "rejected", "stage": "gate", "progress": 1.0}]
    told: list[str] = []
    with Client(service.url, KEY, retries=0) as client:
        service.fail(503, "unavailable")
        job = client.wait_for_job("j1", 20, lambda now: told.append(now["state"]))
    assert job["state"] == "rejected"
    assert told == ["running", "rejected"]


def test_waiting_ends_at_the_deadline_and_says_where_the_job_is(service: FakeService, client: Client) -> None:
    service.job_states = [{"state": "running", "stage": "embed"}]
    with pytest.raises(
        errors.DeadlineExceeded, match=r"j1 has not ended within 0\.1 s: it is running \(embed\)"
    ):
        client.wait_for_job("j1", 0.1)


def test_readiness_names_what_failed_instead_of_raising(service: FakeService, client: Client) -> None:
    assert client.ready()
    service.checks["milvus"] = "does not answer"
    readiness = client.ready()
    assert not readiness
    assert readiness.checks == {"catalog": "ok", "milvus": "does not answer"}


def test_vectors_come_in_the_order_of_the_texts(service: FakeService, client: Client) -> None:
    assert client.embeddings("c", ["a", "bbb"], "passage") == [[1.0, 1.0], [3.0, 1.0]]
    assert service.seen[-1].json["input_type"] == "passage"
    assert client.embeddings("c", "bb") == [[2.0, 1.0]]


def test_remaining_calls_reach_their_routes(service: FakeService, client: Client) -> None:
    service.job_states = [{}]
    created = client.create_corpus("new", base_model="b", policy={"gate": {"min_uplift": 0.1}})
    assert created["job"] == "j1"
    assert service.seen[-1].json == {
        "name": "new",
        "base_model": "b",
        "policy": {"gate": {"min_uplift": 0.1}},
    }
    assert [corpus["name"] for corpus in client.corpora()] == ["c"]
    client.update_policy("c", {"votes": {"up": 2}})
    assert service.seen[-1].json == {"policy": {"votes": {"up": 2}}}
    assert client.jobs("c", limit=5)[0]["id"] == "j1"
    assert service.seen[-1].query == "corpus=c&limit=5"
    assert client.job("j1")["id"] == "j1"
    for order in (client.pause_job, client.resume_job, client.cancel_job):
        assert order("j1")["id"] == "j1"
    assert [path.rpartition("/")[2] for _, path in service.paths()[-3:]] == ["pause", "resume", "cancel"]
    client.approve_job("j1")
    assert service.seen[-1].json == {}
    client.reject_job("j1", "worse")
    assert (service.paths()[-1], service.seen[-1].json) == (("POST", "/v1/jobs/j1/reject"), {"reason": "worse"})
    assert client.difference("c", "iv2")["against"] == "iv1"
    assert client.models()[0]["id"] == "m1"
    assert client.model("m1")["dimension"] == 384
    assert client.model_card("m1")["model_version"] == "m1"
    assert client.index_versions("c")[0]["id"] == "iv1"
    assert client.promote("c", "iv2")["serving"] == "iv2"
    assert client.rollback("c")["previous"] == "iv1"
    client.delete_feedback("f/1")
    client.delete_corpus("c")
    assert service.paths()[-4:] == [
        ("POST", "/v1/corpora/c/promote"),
        ("POST", "/v1/corpora/c/rollback"),
        ("DELETE", "/v1/feedback/f%2F1"),
        ("DELETE", "/v1/corpora/c"),
    ]


def test_methods_carry_the_signature_and_docstring_of_their_call(client: Client) -> None:
    assert "nearest passages" in (client.search.__doc__ or "")
    assert client.search.__wrapped__ is Client.search  # type: ignore[attr-defined]


async def test_asynchronous_client_does_the_same(service: FakeService) -> None:
    service.job_states = [{"state": "running"}, {"state": "succeeded"}]
    async with AsyncClient(service.url, KEY, timeout_seconds=5) as client:
        service.fail(429, "queue_full", retry_after="0")
        found, job = await asyncio.gather(client.search("c", "gout", top_k=1), client.wait_for_job("j1", 20))
        assert (found.results[0].document_id, job["state"]) == ("d1", "succeeded")
        lines = [line async for line in client.bulk_documents("c", [{"id": "a", "text": "b"}, {"id": "c"}])]
        assert [line.get("status") for line in lines] == ["stored", "refused", None]
        judgments = [line async for line in client.bulk_judgments("c", [{"query": "q", "grade": 1}])]
        assert judgments[-1]["summary"]["stored"] == 1
        service.job_states = [{"state": "running"}, {"state": "succeeded"}]
        assert [event["state"] async for event in client.job_events("j1")] == ["running", "succeeded"]
        service.fail(404, "not_found", detail="no such job")
        with pytest.raises(errors.NotFound):
            [event async for event in client.job_events("j9")]
        service.failures.append(PlainTextResponse("hello"))
        with pytest.raises(errors.EmbedloopError, match="other than events"):
            [event async for event in client.job_events("j1")]
        with pytest.raises(errors.InvalidInput, match=r"top_k must be 1\.\.1000") as raised:
            await client.search("c", "gout", top_k=100_000)
        assert raised.value.field == "top_k"


async def test_asynchronous_client_takes_another_transport() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [{"id": str(request.url)}]})

    async with AsyncClient("http://inside", KEY, transport=httpx.MockTransport(answer)) as client:
        assert await client.models() == [{"id": "http://inside/v1/models"}]
