"""Documents over HTTP: what is acknowledged is found, what was replaced or deleted is not."""

from __future__ import annotations

from typing import Any

import pytest

from embedloop.client import Client
from embedloop.errors import NotFound
from tests.integration.stack.conftest import NewCorpus, make_corpus
from tests.patience import eventually

CORPUS = "documents"
EVERYTHING = 100


@pytest.fixture(scope="module", autouse=True)
def corpus(client: Client, base_model: str) -> None:
    make_corpus(client, CORPUS, base_model)


def shown(client: Client, query: str, **options: Any) -> dict[str, str]:
    """Document id -> text of everything that a search shows."""
    found = client.search(CORPUS, query, top_k=EVERYTHING, **options)
    assert found.verified
    return {hit.document_id: hit.text for hit in found.results}


def test_document_put_with_wait_is_found_by_the_next_search(client: Client) -> None:
    told = client.put_document(
        CORPUS, "gout", title="Gout", text="painful big toe", metadata={"year": 2024}, wait_applied=True
    )
    assert told["applied"]
    assert told["changed"]
    assert told["rev"] == told["seq"]
    assert shown(client, "big toe")["gout"] == "painful big toe"
    stored = client.get_document(CORPUS, "gout")
    assert stored == {
        "document_id": "gout",
        "title": "Gout",
        "text": "painful big toe",
        "metadata": {"year": 2024},
        "rev": told["rev"],
    }


def test_replaced_text_is_never_shown_again(client: Client) -> None:
    for version in range(5):
        client.put_document(CORPUS, "replaced", text=f"version {version} of it", wait_applied=True)
        assert shown(client, "version of it")["replaced"] == f"version {version} of it"


def test_replaced_or_deleted_text_is_gone_from_answers_before_it_is_applied(client: Client) -> None:
    client.put_document(CORPUS, "quick", text="old words", wait_applied=True)
    client.put_document(CORPUS, "quick", text="new words")
    assert shown(client, "old words").get("quick") in (None, "new words")
    client.delete_document(CORPUS, "quick")
    assert "quick" not in shown(client, "new words")


def test_deleted_document_is_gone_and_comes_back_when_it_is_put_again(client: Client) -> None:
    client.put_document(CORPUS, "passing", text="here today", wait_applied=True)
    assert client.delete_document(CORPUS, "passing", wait_applied=True)["applied"]
    assert "passing" not in shown(client, "here today")
    with pytest.raises(NotFound):
        client.get_document(CORPUS, "passing")
    with pytest.raises(NotFound):
        client.delete_document(CORPUS, "passing")
    client.put_document(CORPUS, "passing", text="here today", wait_applied=True)
    assert shown(client, "here today")["passing"] == "here today"


def test_unchanged_content_is_no_change(client: Client) -> None:
    first = client.put_document(CORPUS, "same", title="t", text="x", metadata={"a": 1, "b": [" c"]})
    again = client.put_document(CORPUS, "same", title="t", text="x", metadata={"b": [" c"], "a": 1})
    assert (again["changed"], again["rev"], again["seq"]) == (False, first["rev"], first["seq"])
    for change in ({"title": "u"}, {"text": "y"}, {"metadata": {"a": 2}}):
        content: dict[str, Any] = {"title": "t", "text": "x", "metadata": {"a": 1, "b": [" c"]}, **change}
        assert client.put_document(CORPUS, "same", **content)["changed"]
        client.put_document(CORPUS, "same", title="t", text="x", metadata={"a": 1, "b": [" c"]})


def test_session_reads_its_own_writes(client: Client) -> None:
    for number in range(10):
        client.put_document(CORPUS, f"own-{number}", text=f"own writing {number}", wait_applied=True)
        assert f"own-{number}" in shown(client, "own writing", session="writer")


def test_bulk_with_wait_is_found_whole(client: Client) -> None:
    lines = [{"id": f"bulk-{n}", "text": f"line {n} of a bulk upload"} for n in range(300)]
    *told, last = client.bulk_documents(CORPUS, lines, wait_applied=True)
    assert [one["line"] for one in told] == list(range(1, 301))
    assert last["summary"]["stored"] == 300
    assert last["summary"]["applied"]
    found = client.search(CORPUS, "line of a bulk upload", top_k=1000)
    assert {f"bulk-{n}" for n in range(300)} <= {hit.document_id for hit in found.results}
    *again, _ = client.bulk_documents(CORPUS, lines[:50])
    assert {one["status"] for one in again} == {"unchanged"}
    gone: list[dict[str, Any]] = [{"id": one["id"], "op": "delete"} for one in lines]
    *deleted, _ = client.bulk_documents(CORPUS, gone, wait_applied=True)
    assert {one["status"] for one in deleted} == {"deleted"}
    found = client.search(CORPUS, "line of a bulk upload", top_k=1000)
    assert not {hit.document_id for hit in found.results} & {one["id"] for one in lines}


def test_lines_about_one_document_count_in_their_order(client: Client) -> None:
    lines: list[dict[str, Any]] = [
        {"id": "turn", "text": "one"},
        {"id": "turn", "text": "two"},
        {"id": "turn", "op": "delete"},
        {"id": "turn", "text": "three"},
        {"id": "turn", "text": "three"},
    ]
    *told, _ = client.bulk_documents(CORPUS, lines, wait_applied=True)
    assert [one["status"] for one in told] == ["stored", "stored", "deleted", "stored", "unchanged"]
    assert shown(client, "three")["turn"] == "three"


def test_long_document_is_cut_into_passages_of_one_revision(client: Client) -> None:
    text = " ".join(f"Sentence number {n} is about the liver." for n in range(120))
    client.put_document(CORPUS, "long", text=text, wait_applied=True)
    only: dict[str, Any] = {"field": "document_id", "op": "eq", "value": "long"}
    passages = client.search(CORPUS, "liver", top_k=EVERYTHING, filter=only).results
    assert len(passages) > 5
    assert len({hit.passage_id for hit in passages}) == len(passages)
    client.put_document(CORPUS, "long", text="short now", wait_applied=True)
    found = client.search(CORPUS, "liver", top_k=EVERYTHING, filter=only)
    assert [hit.text for hit in found.results] == ["short now"]


def test_filter_and_order_hold(client: Client) -> None:
    for year in range(2000, 2010):
        metadata = {"year": year, "kind": "even" if year % 2 == 0 else "odd"}
        client.put_document(CORPUS, f"year-{year}", text=f"report of {year}", metadata=metadata)
    client.put_document(CORPUS, "year-last", text="the last", wait_applied=True)
    wanted: dict[str, Any] = {
        "and": [
            {"field": "year", "op": "ge", "value": 2003},
            {"not": {"field": "kind", "op": "eq", "value": "odd"}},
        ]
    }
    found = client.search(CORPUS, "report", top_k=EVERYTHING, filter=wanted)
    assert {hit.document_id for hit in found.results} == {"year-2004", "year-2006", "year-2008"}
    assert [hit.rank for hit in found.results] == [1, 2, 3]
    assert [hit.score for hit in found.results] == sorted((h.score for h in found.results), reverse=True)


def test_documents_written_before_the_first_index_version_are_found_after(
    client: Client, new_corpus: NewCorpus
) -> None:
    name = new_corpus(wait=False)
    told = client.put_document(name, "early", text="an early bird", wait_applied=True)
    assert told["applied"]
    found = client.search(name, "bird", top_k=EVERYTHING)
    assert "early" in {hit.document_id for hit in found.results}
    assert len(found.results) == 21


def test_deleted_corpus_is_gone_and_its_name_free_again(client: Client, base_model: str) -> None:
    make_corpus(client, "short-lived", base_model)
    client.search("short-lived", "flu")
    client.delete_corpus("short-lived")
    with pytest.raises(NotFound):
        client.search("short-lived", "flu")
    assert "short-lived" not in {one["name"] for one in client.corpora()}
    make_corpus(client, "short-lived", base_model, filled=False)
    assert eventually(lambda: client.corpus("short-lived")["serving"])
    assert client.search("short-lived", "flu").results == ()
