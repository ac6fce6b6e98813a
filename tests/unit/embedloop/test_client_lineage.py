"""The client's calls about labels, lineage and removals, blocking and asynchronous."""

from __future__ import annotations

from urllib.parse import parse_qs

from embedloop.client import AsyncClient, Client
from embedloop.client.bulk import LINES_PER_REQUEST
from tests.unit.embedloop.fake_service import KEY, REMOVAL, TRACED, FakeService


def test_lines_of_an_import_keep_their_numbers_over_several_requests(
    service: FakeService, client: Client
) -> None:
    pairs = [{"anchor": f"a{n}", "positive": "p"} for n in range(LINES_PER_REQUEST + 1)]
    *answers, last = client.bulk_pairs("c", pairs, import_name="faq")
    assert [answer["line"] for answer in answers] == list(range(1, LINES_PER_REQUEST + 2))
    assert last["summary"]["stored"] == LINES_PER_REQUEST + 1
    assert [parse_qs(seen.query) for seen in service.seen] == [
        {"import": ["faq"], "first_line": ["1"]},
        {"import": ["faq"], "first_line": [str(LINES_PER_REQUEST + 1)]},
    ]


def test_judgments_without_a_name_are_sent_without_one(service: FakeService, client: Client) -> None:
    list(client.bulk_judgments("c", [{"query": "q", "document_id": "d", "grade": 1}]))
    assert service.seen[0].query == ""


def test_trace_sends_only_what_narrows(service: FakeService, client: Client) -> None:
    assert client.training_pairs("c", query="big toe", limit=3) == [TRACED]
    assert parse_qs(service.seen[0].query) == {"query": ["big toe"], "limit": ["3"]}


def test_removal_is_asked_for_by_person_or_document(service: FakeService, client: Client) -> None:
    assert client.forget(person="anna") == REMOVAL
    client.forget(document_id="d1", corpus="c")
    assert [seen.json for seen in service.seen] == [{"person": "anna"}, {"document_id": "d1", "corpus": "c"}]
    assert (client.removals(), client.removal("rm-1")) == ([REMOVAL], REMOVAL)


async def test_asynchronous_client_does_the_same(service: FakeService) -> None:
    async with AsyncClient(service.url, KEY, timeout_seconds=5) as client:
        lines = [line async for line in client.bulk_pairs("c", [{"anchor": "golden"}], import_name="faq")]
        assert [line.get("status") for line in lines] == ["refused", None]
        assert await client.training_pairs("c", source="f-1") == [TRACED]
        assert await client.forget(person="anna") == await client.removal("rm-1") == REMOVAL
        assert await client.removals() == [REMOVAL]
