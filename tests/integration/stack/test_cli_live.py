"""The command line against the live service: what is ingested is searched, judged, trained on, rolled back."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from embedloop.cli import app
from embedloop.client import Client
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import NewCorpus, corpus_name
from tests.patience import eventually

Run = Callable[..., Result]


@pytest.fixture
def run(stack: Stack) -> Run:
    """Runs a command, which must end well unless another code is expected."""

    def command(*arguments: str, code: int = 0) -> Result:
        options = ["--url", stack.url, "--data-dir", str(stack.data_dir)]
        result = CliRunner().invoke(app, [*options, *arguments])
        assert result.exit_code == code, (arguments, result.output, result.exception)
        return result

    return command


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_beir(folder: Path) -> Path:
    """A BEIR folder: twenty documents, questions in train, dev and test."""
    write_jsonl(folder / "corpus.jsonl", [{**d, "_id": d.pop("id")} for d in clinic.documents()])
    queries, files = [], {"train": 0, "test": 1, "dev": 2}
    for split, variant in files.items():
        rows = ["query-id\tcorpus-id\tscore"]
        for number, (query, document) in enumerate(clinic.questions(variant)):
            queries.append({"_id": f"{split}{number}", "text": query})
            rows.append(f"{split}{number}\t{document}\t1")
        (folder / "qrels").mkdir(exist_ok=True)
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    write_jsonl(folder / "queries.jsonl", queries)
    return folder


def splits(catalog_file: Path, corpus: str) -> Counter[str]:
    with closing(sqlite3.connect(f"file:{catalog_file}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT split FROM queries WHERE corpus = ?", (corpus,)).fetchall()
    return Counter(row[0] for row in rows)


def test_beir_folder_becomes_a_searchable_corpus_with_its_judgments(
    run: Run, client: Client, catalog_file: Path, base_model: str, tmp_path: Path
) -> None:
    name = corpus_name("test_beir")
    folder = write_beir(tmp_path / "beir")
    told = run("ingest", str(folder), "--corpus", name, "--create", "--base-model", base_model, "--wait")
    assert f"created corpus {name}" in told.output
    assert "documents: 20 stored" in told.output
    assert "judgments: 60 stored" in told.output
    assert splits(catalog_file, name) == {"train": 20, "dev": 20, "golden": 20}
    assert client.corpus(name)["documents"] == 20
    again = run("ingest", str(folder), "--corpus", name)
    assert "20 unchanged" in again.output

    found = json.loads(run("search", name, "heart attack", "--top-k", "5", "--json").stdout)
    assert len(found["results"]) == 5
    shown = found["results"][0]["document_id"]
    given = run("feedback", found["retrieval_id"], "up", "--document", shown)
    assert "stored" in given.output
    assert shown in run("search", name, "heart attack").stdout

    first = client.corpus(name)["serving"]
    run("reindex", name, "--wait")
    second = client.corpus(name)["serving"]
    assert second != first
    job = json.loads(run("evaluate", name, "--wait", "--json").stdout)
    assert job["result"]["queries"] == 20
    assert 0 <= job["result"]["serving"]["metrics"]["ndcg@10"] <= 1
    listed = json.loads(run("models", "--corpus", name, "--json").stdout)
    assert job["result"]["serving"]["model_version"] in {model["id"] for model in listed}
    assert f"serves {first}, before it {second}" in run("rollback", name).output
    assert f"serves {second}" in run("promote", name, second).output
    assert job["id"] in {one["id"] for one in json.loads(run("jobs", "list", "--json").stdout)}
    assert job["id"] in run("jobs", "show", job["id"]).output


def test_jsonl_csv_and_folders_of_files_are_ingested(
    run: Run, client: Client, new_corpus: NewCorpus, tmp_path: Path
) -> None:
    name = new_corpus(filled=False)
    write_jsonl(tmp_path / "some.jsonl", [{"id": "j/1", "text": "from jsonl", "metadata": {"year": 1}}])
    (tmp_path / "some.csv").write_text("id,title,text,kind\nc1,Title,from csv,letter\n")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("from text")
    (folder / "sub" / "b.md").write_text("# Heading\n\nfrom markdown\n")
    page = "<html><head><title>Page</title></head><body><article><p>{}</p></article></body></html>"
    (folder / "c.html").write_text(page.format("From a page of HTML that says enough to be kept. " * 5))
    for path in (tmp_path / "some.jsonl", tmp_path / "some.csv", folder):
        run("ingest", str(path), "--corpus", name, "--wait")
    stored = {hit.document_id: hit for hit in client.search(name, "from", top_k=20).results}
    assert set(stored) == {"j/1", "c1", "a.txt", "sub/b.md", "c.html"}
    assert stored["j/1"].metadata == {"year": 1}
    assert (stored["c1"].title, stored["c1"].metadata) == ("Title", {"kind": "letter"})
    assert stored["sub/b.md"].title == "Heading"
    assert "page of HTML" in stored["c.html"].text


def test_refused_lines_are_told_and_end_with_one(run: Run, new_corpus: NewCorpus, tmp_path: Path) -> None:
    name = new_corpus(filled=False, wait=False)
    write_jsonl(tmp_path / "bad.jsonl", [{"id": "good", "text": "x"}, {"id": "bad", "text": " "}])
    told = run("ingest", str(tmp_path / "bad.jsonl"), "--corpus", name, code=1)
    assert "documents line 2 'bad'" in told.output
    assert "1 stored, 1 refused" in told.output


def test_errors_of_the_service_are_one_line(run: Run, stack: Stack) -> None:
    told = run("search", "no-such-corpus", "flu", code=1)
    assert told.output.strip() == "error: there is no corpus 'no-such-corpus' (field: corpus)"
    wrong = CliRunner().invoke(app, ["--url", stack.url, "--key", "el_wrong", "models"])
    assert wrong.exit_code == 1
    assert "error: this key is not known" in wrong.output


def test_cycle_runs_from_the_command_line(
    run: Run, client: Client, new_corpus: NewCorpus, tmp_path: Path
) -> None:
    name = new_corpus()
    refused = run("cycle", name, "--wait", code=1)
    assert "needed are 4" in refused.output
    run("ingest", str(write_beir(tmp_path / "beir")), "--corpus", name)
    job = json.loads(run("cycle", name, "--wait", "--json").stdout)
    assert job["result"]["promoted"]
    assert eventually(lambda: client.corpus(name)["serving"] == job["result"]["index_version"])
    report = json.loads(run("evaluate", name, "--wait", "--json").stdout)["result"]
    assert report["base"]["model_version"] != report["serving"]["model_version"]
