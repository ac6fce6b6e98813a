"""The whole story against a service in memory, and its report."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from embedloop.demo import report
from embedloop.demo.cycle_start import votes_until_cycle
from embedloop.demo.narrate import Narrator
from embedloop.demo.ontology import Vocabulary
from embedloop.demo.plan import DemoPlan
from embedloop.demo.report import DemoResult
from embedloop.demo.run import demo, tell
from embedloop.errors import InvalidInput
from tests.unit.embedloop.demo.fake_service import FakeService


def told(
    vocabulary: Vocabulary, *, labels: bool = False, **fake: object
) -> tuple[FakeService, DemoResult, str]:
    cases = (*vocabulary.train, *vocabulary.golden, *vocabulary.test)
    service = FakeService(meaning={case.query: case.term_id for case in cases}, **fake)  # type: ignore[arg-type]
    said = io.StringIO()
    narrator = Narrator(Console(file=said, width=120))
    with service.client() as client, service.client() as searcher:
        plan = replace(DemoPlan.of(300, False, labels), searches_per_second=100.0)
        result = tell(client, searcher, plan, vocabulary, narrator)
    narrator.comparison(result.compared, len(vocabulary.test))
    return service, result, said.getvalue()


@pytest.fixture(scope="module")
def voted(small_vocabulary: Vocabulary) -> tuple[FakeService, DemoResult, str]:
    return told(small_vocabulary)


def test_votes_start_a_cycle_and_searches_get_better(voted: tuple[FakeService, DemoResult, str]) -> None:
    service, result, said = voted
    assert result.failures == []
    assert result.compared["hit@1"].after.mean == 1.0
    assert result.compared["hit@1"].uplift.low > 0
    assert set(result.verdict.by_version) == {"iv-old", "iv-new"}
    assert [mark.name for mark in result.stages][-1] == "promote"
    assert "before and after" in said
    assert service.sessions["demo-test"] == 2 * len(result.vocabulary.test)


def test_nearly_all_training_queries_are_searched_and_no_other_is_voted_on(
    voted: tuple[FakeService, DemoResult, str],
) -> None:
    service, result, _ = voted
    tally = result.tally
    assert tally is not None
    assert tally.searches > 0.8 * len(result.vocabulary.train)
    assert tally.votes == len(service.feedback) >= service.policy["trigger"]["new_feedback"]


def test_golden_queries_are_the_only_judgments_when_people_vote(
    voted: tuple[FakeService, DemoResult, str],
) -> None:
    service, result, _ = voted
    assert {line["split"] for line in service.judgments} == {"golden"}
    assert len(service.judgments) == len(result.vocabulary.golden)


def test_labels_are_imported_instead_of_votes(small_vocabulary: Vocabulary) -> None:
    service, result, _ = told(small_vocabulary, labels=True)
    assert result.failures == []
    assert service.feedback == []
    imported = {line["query"]: line["split"] for line in service.judgments}
    assert {imported[case.query] for case in small_vocabulary.train} == {"train", "dev"}
    assert not set(imported) & {case.query for case in small_vocabulary.test}


def test_swap_that_answers_old_passages_for_a_moment_is_found_out(small_vocabulary: Vocabulary) -> None:
    _, result, _ = told(small_vocabulary, mixing_answers=5)
    assert result.verdict.mixed > 0
    assert any("no answer may mix two versions" in reason for reason in result.failures)


@pytest.fixture(scope="module")
def refused(small_vocabulary: Vocabulary) -> DemoResult:
    return told(small_vocabulary, gate="failed")[1]


def test_cycle_that_the_gate_refused_is_a_failure(refused: DemoResult) -> None:
    assert any("gate must pass" in reason for reason in refused.failures)
    assert any("must be promoted" in reason for reason in refused.failures)
    assert set(refused.verdict.by_version) == {"iv-old"}


def test_report_is_one_file_with_numbers_beside_it(
    voted: tuple[FakeService, DemoResult, str], tmp_path: Path
) -> None:
    _, result, _ = voted
    numbers = report.write(result, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "Queries that got better" in page
    assert "hp/releases/2025-01-16" in page
    summary = json.loads(numbers.read_text(encoding="utf-8"))
    assert summary["passed"] is True
    assert summary["counts"]["documents"] == 300
    assert summary["metrics"]["hit@5"]["uplift"]["mean"] == pytest.approx(result.compared["hit@5"].uplift.mean)
    assert summary["swap"]["errors"] == summary["swap"]["mixed"] == 0
    assert set(summary["seconds"]) >= {"ingest", "measure_before", "teach", "cycle", "measure_after"}


def test_report_of_a_failed_demo_says_why_and_escapes_it(refused: DemoResult) -> None:
    page = report.render(replace(refused, failures=["<b>bold</b>"]))
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page
    assert "The demo failed." in page


def test_threshold_follows_from_where_the_right_documents_came() -> None:
    assert votes_until_cycle([1, 1, None], 1000) == 930
    assert votes_until_cycle([5], 1000) > 930


def test_used_data_dir_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("keep me")
    code = demo(
        full=False,
        labels=False,
        terms=300,
        keep=False,
        data_dir=tmp_path / "data",
        report=tmp_path / "report.html",
        port=0,
    )
    assert code == 1
    assert "data_dir must be new or empty" in capsys.readouterr().out
    assert (tmp_path / "data" / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize("name", ["folder", "numbers.json"])
def test_report_that_cannot_be_written_is_refused_beforehand(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInput, match=r"report must be a file such as report\.html"):
        report.check_ready(tmp_path / name)
