"""Documents over HTTP as policy says: cleaned, judged, compared, redacted; a dry run stores nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from embedloop.cli import app
from embedloop.client import Client
from embedloop.errors import DocumentRejected, NearDuplicate, NotFound
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import NewCorpus

SENTENCE = "Epistaxis is what a doctor calls bleeding from the nose, and it is seldom a danger to anybody."
PAGE = f"<html><nav><a>Home</a></nav><h1>Nose bleed</h1><p>{SENTENCE}</p><footer>Imprint</footer></html>"
MAIL = f"Subject: Re: Nose bleed\n\nDear Ann,\n\n{SENTENCE}\n\n-- \nBob\n\n> What is it?"
MARKDOWN = f"---\nlayout: page\n---\n# Nose bleed\n\n{SENTENCE}\n\n![badge](b.svg)"


@pytest.mark.parametrize(
    ("content_type", "raw"), [("text/html", PAGE), ("message/rfc822", MAIL), ("text/markdown", MARKDOWN)]
)
def test_markup_is_stored_clean_and_found(
    client: Client, new_corpus: NewCorpus, content_type: str, raw: str
) -> None:
    corpus = new_corpus()
    told = client.put_document(corpus, "page", text=raw, content_type=content_type, wait_applied=True)
    assert told["cleaning"]["language"] == "en"
    assert {one["rule"] for one in told["cleaning"]["removed"]}
    stored = client.get_document(corpus, "page")
    assert (stored["title"], stored["text"]) == ("Nose bleed", SENTENCE)
    assert "page" in {
        hit.document_id for hit in client.search(corpus, "bleeding from the nose", top_k=50).results
    }


def test_plain_text_is_stored_as_it_was_sent(client: Client, new_corpus: NewCorpus) -> None:
    corpus = new_corpus(wait=False, filled=False)
    told = client.put_document(corpus, "raw", text="  TODO: ann@example.org ")
    assert "cleaning" not in told
    assert client.get_document(corpus, "raw")["text"] == "  TODO: ann@example.org "


def test_unknown_content_type_is_refused_by_its_field(http: httpx.Client, new_corpus: NewCorpus) -> None:
    corpus = new_corpus(wait=False, filled=False)
    answer = http.put(f"/v1/corpora/{corpus}/documents/a", json={"text": "x", "content_type": "text/rtf"})
    assert answer.status_code == 400
    assert answer.json()["field"] == "content_type"


def test_reject_is_refused_and_the_earlier_content_stays(client: Client, new_corpus: NewCorpus) -> None:
    corpus = new_corpus(wait=False, filled=False)
    client.put_document(corpus, "page", text=PAGE, content_type="text/html")
    error = "<h1>404</h1><p>The page you requested could not be found.</p>"
    with pytest.raises(DocumentRejected, match=r"kept out \(error page\)"):
        client.put_document(corpus, "page", text=error, content_type="text/html")
    assert client.get_document(corpus, "page")["text"] == SENTENCE


def test_near_duplicate_is_refused_and_an_update_is_not(client: Client, new_corpus: NewCorpus) -> None:
    corpus = new_corpus(wait=False, filled=False, cleaning={"near_duplicates": "refuse"})
    text = " ".join(f"word{number}" for number in range(80))
    client.put_document(corpus, "a", text=text)
    with pytest.raises(NearDuplicate, match=r"'b' repeats 9[0-9]% of document 'a'"):
        client.put_document(corpus, "b", text=f"{text} more")
    assert client.put_document(corpus, "a", text=f"{text} more")["changed"]
    with pytest.raises(NotFound):
        client.get_document(corpus, "b")


def test_near_duplicate_is_stored_and_told_where_the_policy_only_tells(
    client: Client, new_corpus: NewCorpus
) -> None:
    corpus = new_corpus(wait=False, filled=False, cleaning={"near_duplicates": "tell"})
    lines = [{"id": name, "text": SENTENCE} for name in ("a", "b")]
    first, second, _ = client.bulk_documents(corpus, lines)
    assert "cleaning" not in first
    assert second["status"] == "stored"
    assert second["cleaning"]["duplicate_of"] == {"document_id": "a", "similarity": 1.0}


def test_personal_data_is_redacted_by_policy(client: Client, new_corpus: NewCorpus) -> None:
    corpus = new_corpus(wait=False, filled=False)
    client.update_policy(corpus, {"redaction": "pseudonym"})
    for name in ("a", "b"):
        told = client.put_document(corpus, name, text=f"{name}: write to ann@example.org")
        assert told["cleaning"]["redacted"] == {"EMAIL": 1}
    one, other = (client.get_document(corpus, name)["text"].split(": ")[1] for name in ("a", "b"))
    assert one == other
    assert "ann" not in one


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"cleaning": {"documents": "some"}}, "policy.cleaning.documents"),
        ({"cleaning": {"languages": ["English"]}}, "policy.cleaning.languages.0"),
        ({"cleaning": {"similarity": 0.1}}, "policy.cleaning.similarity"),
        ({"redaction": "hash"}, "policy.redaction"),
        ({"chunking": {"by": "pages"}}, "policy.chunking.by"),
    ],
)
def test_wrong_policy_is_refused_by_its_field(
    http: httpx.Client, new_corpus: NewCorpus, section: dict[str, Any], field: str
) -> None:
    corpus = new_corpus(wait=False, filled=False)
    answer = http.patch(f"/v1/corpora/{corpus}", json={"policy": section})
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_dry_run_answers_as_the_upload_would_and_stores_nothing(client: Client, new_corpus: NewCorpus) -> None:
    corpus = new_corpus(wait=False, filled=False, cleaning={"near_duplicates": "refuse"})
    client.put_document(corpus, "old", text="an old text of some words")
    lines: list[dict[str, Any]] = [
        {"id": "page", "text": PAGE, "content_type": "text/html"},
        {"id": "copy", "text": PAGE, "content_type": "text/html"},
        {"id": "draft", "text": "<p>TODO</p>", "content_type": "text/html"},
        {"id": "old", "text": "an old text of some words"},
        {"id": "old", "op": "delete"},
        {"id": "absent", "op": "delete"},
    ]
    *foreseen, summary = client.bulk_documents(corpus, lines, dry_run=True)
    assert summary["summary"]["dry_run"]
    assert not any("seq" in line for line in foreseen)
    assert client.corpus(corpus)["documents"] == 1
    *done, _ = client.bulk_documents(corpus, lines)
    assert [line["status"] for line in foreseen] == [line["status"] for line in done]
    assert [line["status"] for line in done] == [
        "stored",
        "refused",
        "refused",
        "unchanged",
        "deleted",
        "refused",
    ]
    codes = [line["error"]["code"] for line in foreseen if "error" in line]
    assert codes == ["near_duplicate", "document_rejected", "not_found"]


def test_ingest_shows_in_a_table_what_it_would_do(stack: Stack, new_corpus: NewCorpus, tmp_path: Path) -> None:
    corpus = new_corpus(wait=False, filled=False)
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "mail.eml").write_text(MAIL)
    (tmp_path / "draft.md").write_text("TODO")
    (tmp_path / "more.txt").write_text(json.dumps(SENTENCE))
    options = ["--url", stack.url, "--key", stack.admin_key, "ingest", str(tmp_path), "--corpus", corpus]
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, [*options, "--dry-run"])
    assert result.exit_code == 0, result.output
    for shown in ("refused: placeholder", "draft.md", "mail headers", "quoted replies", "nothing was stored"):
        assert shown in result.output
    assert "documents: 3 stored, 1 refused" in result.output
