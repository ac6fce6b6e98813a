"""Many documents or labels in one call of the client."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.responses import PlainTextResponse

from embedloop import errors
from embedloop.client import Client
from embedloop.client.bulk import LINES_PER_REQUEST
from tests.unit.embedloop.fake_service import KEY, FakeService


def test_bulk_is_cut_into_requests_and_numbered_as_one(service: FakeService, client: Client) -> None:
    count = 2 * LINES_PER_REQUEST + 5
    documents = ({"id": f"d{n}", "text": "" if n == LINES_PER_REQUEST else "Joints."} for n in range(count))
    *lines, last = client.bulk_documents("c", documents, wait_applied=True)
    assert [line["line"] for line in lines] == list(range(1, count + 1))
    refused = [line for line in lines if line["status"] == "refused"]
    assert [(line["line"], line["id"]) for line in refused] == [
        (LINES_PER_REQUEST + 1, f"d{LINES_PER_REQUEST}")
    ]
    assert last["summary"] == {
        "lines": count,
        "stored": count - 1,
        "unchanged": 0,
        "deleted": 0,
        "refused": 1,
        "last_seq": count - 1,
        "applied": True,
    }
    assert len(service.seen) == 3
    assert {seen.query for seen in service.seen} == {"wait=applied"}
    assert service.seen[0].headers["content-type"] == "application/x-ndjson"


def test_bulk_takes_documents_only_as_it_sends_them(service: FakeService, client: Client) -> None:
    taken = 0

    def documents() -> Iterator[dict[str, str]]:
        nonlocal taken
        while True:
            taken += 1
            yield {"id": f"d{taken}", "text": "Joints."}

    assert next(client.bulk_documents("c", documents()))["status"] == "stored"
    assert taken <= LINES_PER_REQUEST + 1


def test_bulk_of_large_documents_is_cut_by_bytes(service: FakeService, client: Client) -> None:
    documents = [{"id": f"d{n}", "text": "a" * 1_000_000} for n in range(9)]
    *_, last = client.bulk_documents("c", documents)
    assert last["summary"]["stored"] == 9
    assert [len(seen.body.splitlines()) for seen in service.seen] == [4, 4, 1]


def test_bulk_of_nothing_sends_nothing(service: FakeService, client: Client) -> None:
    assert list(client.bulk_documents("c", [])) == [{"summary": {"lines": 0, "stored": 0, "refused": 0}}]
    assert service.seen == []


def test_bulk_answer_without_its_summary_is_an_error(service: FakeService) -> None:
    service.failures.append(PlainTextResponse('{"line": 1, "status": "stored"}\n'))
    with (
        Client(service.url, KEY) as client,
        pytest.raises(errors.Unavailable, match="broke off after 1 lines"),
    ):
        list(client.bulk_documents("c", [{"id": "a", "text": "b"}]))


def test_bulk_line_that_is_no_json_is_named_by_number(client: Client) -> None:
    lines = [{"id": "a", "text": "b"}, {"id": "b", "text": "\ud800"}]
    with pytest.raises(errors.InvalidInput, match=r"^line 2 cannot be written as JSON"):
        list(client.bulk_documents("c", lines))


def test_bulk_judgments_are_sent_as_they_are(service: FakeService, client: Client) -> None:
    judgment = {"query": "किताब", "document_id": "d1", "grade": 2, "split": "golden"}
    first, last = client.bulk_judgments("c", [judgment])
    assert (first, last["summary"]["stored"]) == ({"line": 1, "status": "stored"}, 1)
    assert json.loads(service.seen[0].body) == judgment
