"""`embedloop import`, `trace` and `forget`."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.unit.embedloop.conftest import Run
from tests.unit.embedloop.fake_service import TRACED, FakeService


def test_import_sends_pairs_under_the_name_of_the_file(service: FakeService, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "our faq.csv"
    file.write_text("question,answer\nreset?,Hold it.\n")
    result = run("import", str(file), "--corpus", "c")
    assert result.exit_code == 0, result.stderr
    assert "pairs: 1 stored, 0 refused" in result.stdout
    assert service.seen[0].path == "/v1/corpora/c/pairs:bulk"
    assert parse_qs(service.seen[0].query)["import"] == ["our-faq.csv"]
    assert service.seen[0].json == {"anchor": "reset?", "positive": "Hold it."}


def test_import_of_judgments_goes_to_judgments(service: FakeService, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"query": "q", "document_id": "d1", "grade": 2}\n')
    assert run("import", str(file), "--corpus", "c", "--name", "mine").exit_code == 0
    assert service.seen[0].path == "/v1/corpora/c/judgments:bulk"


def test_refused_line_is_named_and_ends_with_1(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"anchor": "fine", "positive": "p"}\n{"anchor": "golden", "positive": "p"}\n')
    result = run("import", str(file), "--corpus", "c")
    assert result.exit_code == 1
    assert "pairs line 2: this query is golden (field: anchor)" in result.stderr


def test_broken_file_sends_nothing(service: FakeService, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"anchor": "a"}\n')
    assert run("import", str(file), "--corpus", "c").exit_code == 1
    assert service.seen == []


def test_trace_shows_sources_and_models(run: Run) -> None:
    shown = run("trace", "c", "--query", "big toe").stdout
    assert "f-1" in shown
    assert "m1" in shown
    assert json.loads(run("trace", "c", "--json").stdout) == [TRACED]


def test_forget_tells_what_went_and_who_saw_it(service: FakeService, run: Run) -> None:
    result = run("forget", "--person", "anna")
    assert "removal rm-1: 2 feedback" in result.stdout
    assert "model versions that saw the data: m1" in result.stdout
    assert service.seen[0].json == {"person": "anna"}


def test_removals_are_listed_with_who_saw_the_data(run: Run) -> None:
    shown = run("removals").stdout
    assert "2 feedback" in shown
    assert "not yet" in shown
    assert [one["id"] for one in json.loads(run("removals", "--json").stdout)] == ["rm-1"]


@pytest.mark.parametrize("arguments", [(), ("--person", "a", "--document", "d")])
def test_forget_needs_exactly_one_subject(service: FakeService, run: Run, arguments: tuple[str, ...]) -> None:
    assert run("forget", *arguments).exit_code == 1
    assert service.seen == []
