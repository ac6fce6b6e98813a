import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from embedloop.cli import app
from tests.unit.embedloop.conftest import Run
from tests.unit.embedloop.fake_service import KEY, REASON, FakeService

COMMANDS = [
    *("up", "demo", "keys", "doctor", "ingest", "search", "feedback", "models", "promote", "rollback"),
    *("reindex", "bridge", "compress", "train", "cycle", "evaluate", "headroom", "difference", "jobs"),
    *("index-trial",),
    *("import", "trace", "forget", "removals"),
]


def test_help_of_everything_loads_nothing_heavy() -> None:
    heavy = {"torch", "fastapi", "celery", "pymilvus", "numpy", "tokenizers", "sqlalchemy", "trafilatura"}
    code = f"""
import sys
from typer.testing import CliRunner
from embedloop.cli import app
for command in {COMMANDS!r}:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0 and "Usage" in result.stdout, command
print(sorted({heavy!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_search_shows_a_table_and_the_retrieval_id(run: Run) -> None:
    result = run("search", "c", "what is gout", "-k", "2")
    assert result.exit_code == 0
    assert "Joints." in result.stdout
    assert "retrieval r1, iv1, m1" in result.stdout


def test_search_as_json_is_the_answer_as_it_came(run: Run) -> None:
    assert json.loads(run("search", "c", "gout", "-k", "1", "--json").stdout)["results"][0]["rank"] == 1


def test_error_is_one_line_with_its_field_and_exit_code_1(run: Run) -> None:
    result = run("search", "c", "gout", "-k", "100000")
    assert result.exit_code == 1
    assert result.stderr.strip() == "error: top_k must be 1..1000, got 100000 (field: top_k)"
    assert result.stdout == ""


def test_text_from_the_service_is_never_read_as_markup(service: FakeService, run: Run) -> None:
    service.fail(400, "invalid_input", detail="got [/red] and [bold]x")
    assert run("models").stderr.strip() == "error: got [/red] and [bold]x"


def test_options_win_over_the_environment(service: FakeService, run: Run) -> None:
    assert run("--key", "other", "models").exit_code == 1
    changed = {"EMBEDLOOP_URL": "http://127.0.0.1:9", "EMBEDLOOP_KEY": "other"}
    assert run("--url", service.url, "--key", KEY, "models", **changed).exit_code == 0


def test_key_is_read_from_the_data_directory(service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text(KEY + "\n")
    runner = CliRunner()
    arguments = ["--url", service.url, "--data-dir", str(tmp_path), "models"]
    assert runner.invoke(app, arguments).exit_code == 0
    (tmp_path / "admin.key").unlink()
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert "no key: give --key, set EMBEDLOOP_KEY" in result.stderr


def write_beir(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "Joints."}\n{"_id": "d2", "text": ""}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "gout"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    return folder


def test_ingest_stores_documents_and_judgments_and_names_refused_lines(
    service: FakeService, run: Run, tmp_path: Path
) -> None:
    result = run("ingest", str(write_beir(tmp_path / "set")), "--corpus", "c", "--wait")
    assert result.exit_code == 1
    assert "error: documents line 2 'd2': text is blank (field: text)" in result.stderr
    assert "documents: 1 stored, 1 refused" in result.stdout
    assert "judgments: 1 stored" in result.stdout
    assert service.seen[0].query == "wait=applied"
    assert service.seen[1].json == {"query": "gout", "document_id": "d1", "grade": 1, "split": "golden"}
    assert service.seen[1].query.startswith("import=set&first_line=")


def test_ingest_creates_a_corpus_that_is_not_there_and_waits_for_its_index(
    service: FakeService, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Joints.")
    service.job_states = [{"state": "running"}, {"state": "succeeded"}]
    arguments = ("ingest", str(tmp_path), "--corpus", "new", "--create", "--base-model", "b", "--wait")
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert "created corpus new" in result.stdout
    created = next(seen for seen in service.seen if seen.path == "/v1/corpora")
    assert created.json == {"name": "new", "base_model": "b"}
    assert service.paths()[-1] == ("POST", "/v1/corpora/new/documents:bulk")


def test_ingest_refuses_another_base_model_than_the_corpus_has(
    service: FakeService, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Joints.")
    result = run("ingest", str(tmp_path), "--corpus", "c", "--create", "--base-model", "b")
    assert result.exit_code == 1
    assert "corpus 'c' exists with base model 'all-MiniLM-L6-v2', not 'b' (field: base_model)" in result.stderr
    assert service.paths() == [("GET", "/v1/corpora/c")]


def test_ingest_of_a_wrong_file_names_file_and_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{\n")
    result = run("ingest", str(tmp_path / "bad.jsonl"), "--corpus", "c")
    assert result.exit_code == 1
    assert "bad.jsonl:1: not JSON" in result.stderr


def test_feedback_is_sent_with_document_and_comment(service: FakeService, run: Run) -> None:
    result = run("feedback", "r1", "correct", "--document", "d7", "--comment", "this one")
    assert result.stdout.strip() == "feedback f1: stored"
    expected = {"retrieval_id": "r1", "signal": "correct", "document_id": "d7", "comment": "this one"}
    assert service.seen[-1].json == expected


def test_index_versions_are_listed_with_their_lag_and_why_one_failed(run: Run) -> None:
    told = run("index-versions", "c").stdout
    assert all(word in told for word in ("iv1", "retired", "HNSW", "L2", "float16", "2,117", "3"))
    assert told.splitlines()[-1] == f"iv1 failed its verification: {REASON}"
    assert json.loads(run("index-versions", "c", "--json").stdout)[0]["lag"] == 3


def test_models_are_listed(run: Run) -> None:
    assert "all-MiniLM-L6-v2" in run("models", "--corpus", "c").stdout
    assert json.loads(run("models", "--json").stdout)[0]["dimension"] == 384


def test_promote_and_rollback_say_what_serves(service: FakeService, run: Run) -> None:
    assert run("promote", "c", "iv2").stdout.strip() == "c serves iv2, before it iv1"
    assert service.seen[-1].json == {"index_version": "iv2"}
    assert run("rollback", "c").stdout.strip() == "c serves iv2, before it iv1"


@pytest.mark.parametrize(
    ("arguments", "module", "name", "expected"),
    [
        (
            ["up", "--data-dir", "d", "--port", "0", "--milvus", "http://m"],
            "embedloop.supervisor",
            "up",
            {
                "data_dir": Path("d"),
                "port": 0,
                "workers": 1,
                "milvus": "http://m",
                "database": None,
                "broker": None,
            },
        ),
        (
            ["demo", "--full"],
            "embedloop.demo.run",
            "demo",
            {
                "full": True,
                "labels": False,
                "terms": 6000,
                "keep": False,
                "data_dir": None,
                "report": Path("report.html"),
                "port": 0,
            },
        ),
        (["keys"], "embedloop.supervisor", "show_admin_key", {"data_dir": Path("embedloop-data")}),
        (["doctor", "--data-dir", "d"], "embedloop.doctor", "doctor", {"data_dir": Path("d")}),
    ],
)
def test_commands_of_the_machine_pass_their_options_on_and_their_code_back(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    arguments: list[str],
    module: str,
    name: str,
    expected: dict[str, Any],
) -> None:
    called: dict[str, Any] = {}

    def called_with(data_dir: Path | None, **options: Any) -> int:
        called.update(options, data_dir=data_dir)
        return 3

    fake = ModuleType(module)
    setattr(fake, name, called_with)
    monkeypatch.setitem(sys.modules, module, fake)
    assert run(*arguments).exit_code == 3
    assert called == expected


def test_missing_dependency_of_the_machine_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "fake_supervisor.py").write_text("import a_package_that_is_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("embedloop.cli_stack.SUPERVISOR", "fake_supervisor")
    result = run("up")
    assert result.exit_code == 1
    assert "needs a_package_that_is_not_installed: pip install 'embedloop[embedded]'" in result.stderr


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("markdown", "| 1 | **Rent a"),
        ("html", '<td class="new">Lease b 0.600</td>'),
        ("json", '"against": "iv1"'),
    ],
)
def test_a_difference_is_shown_in_each_form(run: Run, form: str, expected: str) -> None:
    shown = run("difference", "c", "iv2", "--format", form)
    assert shown.exit_code == 0
    assert expected in shown.stdout


def test_the_card_of_a_model_version_is_shown_as_markdown_or_as_json(run: Run) -> None:
    shown = run("models", "card", "m1")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("# Model version m1\n")
    assert "- Text beyond 256 tokens is not read." in shown.stdout
    assert json.loads(run("models", "card", "m1", "--json").stdout)["files"] == 9
