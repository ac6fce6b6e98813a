import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from embedloop.cli import app
from tests.unit.embedloop.fake_service import KEY, REASON, FakeService

COMMANDS = [
    *("up", "demo", "keys", "doctor", "ingest", "search", "feedback", "models", "promote", "rollback"),
    *("reindex", "bridge", "compress", "train", "cycle", "evaluate", "headroom", "difference", "jobs"),
    *("index-trial",),
    *("import", "trace", "forget", "removals"),
]
Run = Callable[..., Result]


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService().serving() as running:
        yield running


@pytest.fixture
def run(service: FakeService) -> Run:
    environment = {"EMBEDLOOP_URL": service.url, "EMBEDLOOP_KEY": KEY, "COLUMNS": "200"}

    def invoke(*arguments: str, **changed: str) -> Result:
        return CliRunner(env=environment | changed).invoke(app, list(arguments))

    return invoke


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


@pytest.mark.parametrize(
    ("arguments", "kind", "params"),
    [
        (
            ["reindex", "c", "--no-promote", "--model", "m2"],
            "reindex",
            {"promote": False, "model_version": "m2"},
        ),
        (["reindex", "c"], "reindex", {"promote": True}),
        (["bridge", "c", "m2"], "bridge", {"promote": True, "model_version": "m2"}),
        (["compress", "c", "--to", "int8"], "compress", {"to": "int8", "promote": True}),
        (
            ["compress", "c", "--to", "static", "--static", '{"words": 0}', "--max-drop", "0.05"],
            "compress",
            {"to": "static", "promote": True, "static": {"words": 0}, "max_drop": 0.05},
        ),
        (["train", "c"], "finetune", {}),
        (["train", "c", "--training", '{"epochs": 2}'], "finetune", {"training": {"epochs": 2}}),
        (["cycle", "c"], "cycle", {}),
        (["cycle", "c", "--training", '{"seed": 5}'], "cycle", {"training": {"seed": 5}}),
        (
            ["train", "c", "--from-scratch", "lsa", "--training", '{"seed": 5}'],
            "finetune",
            {"training": {"from_scratch": {"method": "lsa"}, "seed": 5}},
        ),
        (
            ["cycle", "c", "--from-scratch", "fasttext"],
            "train_from_scratch",
            {"training": {"from_scratch": {"method": "fasttext"}}},
        ),
        (["headroom", "c"], "headroom", {}),
        (["index-trial", "c"], "index_trial", {}),
        (
            ["index-trial", "c", "--rows", "5000", "--queries", "50"],
            "index_trial",
            {"rows": 5000, "queries": 50},
        ),
        (["evaluate", "c", "--model", "m2"], "evaluate", {"model_version": "m2"}),
    ],
)
def test_job_commands_submit_their_kind(
    service: FakeService, run: Run, arguments: list[str], kind: str, params: dict[str, Any]
) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert "j1 of c: queued" in result.stdout
    assert service.seen[-1].json == {"kind": kind, "corpus": "c", "params": params}


@pytest.mark.parametrize("training", ["{", "[1]", "epochs"])
def test_own_training_that_is_no_json_object_is_refused_before_anything_is_sent(
    service: FakeService, run: Run, training: str
) -> None:
    result = run("cycle", "c", "--training", training)
    assert result.exit_code == 2
    assert service.seen == []


def test_waiting_for_a_job_prints_its_result(service: FakeService, run: Run) -> None:
    service.job_states = [{"state": "running", "stage": "embed"}, {"state": "succeeded", "result": {"n": 7}}]
    result = run("reindex", "c", "--wait")
    assert result.exit_code == 0
    assert '"n": 7' in result.stdout


def test_waiting_for_a_job_that_fails_ends_with_its_reason_and_1(service: FakeService, run: Run) -> None:
    error = {"code": "training_failed", "message": "out of memory", "field": "policy.training.batch_size"}
    service.job_states = [{"state": "failed", "error": error}]
    result = run("train", "c", "--wait", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "failed"
    assert "error: reindex j1 failed: out of memory (field: policy.training.batch_size)" in result.stderr


@pytest.mark.parametrize("order", ["pause", "resume", "cancel"])
def test_jobs_are_paused_resumed_and_cancelled(service: FakeService, run: Run, order: str) -> None:
    assert run("jobs", order, "j1").stdout.startswith("reindex j1 of c: ")
    assert service.paths()[-1] == ("POST", f"/v1/jobs/j1/{order}")
    assert json.loads(run("jobs", order, "j1", "--json").stdout)["id"] == "j1"


def test_a_job_that_failed_is_shown_with_its_reason(service: FakeService, run: Run) -> None:
    error = {"code": "verification_failed", "message": REASON, "stage": "verify"}
    service.job_states = [{"state": "failed", "stage": "verify", "error": error}]
    assert run("jobs", "show", "j1").stdout.splitlines()[1] == f"verification_failed: {REASON}"


def test_index_versions_are_listed_with_their_lag_and_why_one_failed(run: Run) -> None:
    told = run("index-versions", "c").stdout
    assert all(word in told for word in ("iv1", "retired", "HNSW", "L2", "float16", "2,117", "3"))
    assert told.splitlines()[-1] == f"iv1 failed its verification: {REASON}"
    assert json.loads(run("index-versions", "c", "--json").stdout)[0]["lag"] == 3


def test_jobs_are_listed_and_shown(service: FakeService, run: Run) -> None:
    service.job_states = [{"state": "running", "stage": "embed", "progress": 0.25}]
    assert "reindex" in run("jobs").stdout
    assert (
        json.loads(run("jobs", "list", "--corpus", "c", "--state", "running", "--json").stdout)[0]["id"] == "j1"
    )
    assert service.seen[-1].query == "corpus=c&state=running"
    assert run("jobs", "show", "j1").stdout.strip() == "reindex j1 of c: running, embed, 25%"
    assert run("jobs", "show", "j9").exit_code == 1


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


def test_an_evaluation_is_shown_as_tables_with_every_baseline(
    service: FakeService, run: Run, tmp_path: Path
) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "when?", "answers": ["May"]}\n')
    uplift = {"mean": 0.1, "low": 0.02, "high": 0.2, "p": 0.004}
    told: dict[str, Any] = {
        name: {"metrics": {"ndcg@10": 0.5 + n / 10}, "uplift": {"ndcg@10": uplift}}
        for n, name in enumerate(("bm25", "base", "serving", "model"))
    }
    labels = {
        "labels": 4,
        "coherence": {"silhouette": 0.3, "intra": 0.2, "inter": 0.7},
        "downstream": {"knn_f1": 0.81, "linear_f1": 0.84},
    }
    told["model"]["labels"] = labels
    rag = {"questions": 1, "answer_in_context": {"mean": 0.7}, "answer_accuracy": {"mean": 0.6}}
    slices = [{"facet": "topic", "value": "[red]", "queries": 9, "ndcg@10": dict.fromkeys(told, 0.25)}]
    result = told | {"slices": slices, "rag": {"model": rag}, "queries": 40, "passages": 2000}
    service.job_states = [{"state": "succeeded", "result": result}]
    shown = run("evaluate", "c", "-k", "5", "--label-field", "area", "--questions", str(questions), "--wait")
    assert shown.exit_code == 0
    for text in ("0.800", "+0.100 (+0.020 to +0.200)", "0.004", "topic: [red]", "0.810", "0.600", "40 golden"):
        assert text in shown.stdout
    params = {"k": [5], "label_field": "area", "questions": [{"question": "when?", "answers": ["May"]}]}
    assert next(one.json for one in service.seen if one.method == "POST")["params"] == params


@pytest.mark.parametrize(
    "line", ['{"question": "x"}', '{"question": " ", "answers": ["a"]}', '{"question": "x", "answers": [1]}']
)
def test_questions_that_are_wrong_are_named_by_file_and_line(run: Run, tmp_path: Path, line: str) -> None:
    (tmp_path / "q.jsonl").write_text(line + "\n")
    result = run("evaluate", "c", "--questions", str(tmp_path / "q.jsonl"))
    assert result.exit_code == 1
    assert "q.jsonl:1: " in result.stderr


@pytest.mark.parametrize(
    ("hybrid", "told"),
    [
        (None, None),
        ({"present": 0.5, "proposed": 0.5}, "keep bm25_weight 0.5; tuning it brings +0.020 (-0.010 to +0.050)"),
        (
            {"present": 0.0, "proposed": 0.3},
            "bm25_weight 0.3 brings +0.020 (-0.010 to +0.050) on 40 dev queries",
        ),
    ],
)
def test_headroom_tells_what_words_beside_vectors_bring(
    service: FakeService, run: Run, hybrid: dict[str, Any] | None, told: str | None
) -> None:
    gain = {"gain": {"mean": 0.02, "low": -0.01, "high": 0.05, "p": 0.2}, "queries": 40}
    service.job_states = [
        {
            "state": "succeeded",
            "result": headroom_result() | {"hybrid": None if hybrid is None else hybrid | gain},
        }
    ]
    shown = run("headroom", "c", "--wait").stdout.replace("\n", " ")
    assert ("words beside vectors" in shown) is (told is not None)
    assert (told or "") in shown


def headroom_result(curve: bool = True) -> dict[str, Any]:
    one = {"mean": 0.61, "low": 0.58, "high": 0.64, "queries": 212}
    expected = {"labels": 400, "mean": 0.08, "low": 0.05, "high": 0.11, "relative": 0.131}
    training = {"pairs": 400, "steps": 50, "steps_probed": 9, "seconds": 930.0}
    return {
        "verdict": "fine_tune",
        "reason": "400 labels promise +13.1%",
        "metric": "ndcg@10",
        "scores": {"baseline": one, "bm25": one | {"mean": 0.5}, "oracle": one | {"mean": 0.9}},
        "labels": {"train": 400, "dev": 40, "golden": 50},
        "passages": 2117,
        "vocabulary": {
            "fertility": 1.432,
            "oov_rate": 0.001,
            "terms": 812,
            "term_fertility": 2.31,
            "kept_whole": 0.41,
            "advice": "worth trying: 479 of 812 domain terms are cut",
            "worst": [{"term": "tophus", "documents": 9, "pieces": ["top", "hus"]}],
        },
        "curve": {"expected": [expected]} if curve else None,
        "hybrid": None,
        "cost": {
            "passages_per_second": 20.0,
            "reembed_seconds": 105.9,
            "training": training if curve else None,
        },
        "notes": ["a proxy"],
    }


@pytest.mark.parametrize("curve", [True, False])
def test_headroom_is_shown_as_a_verdict_with_what_it_rests_on(
    service: FakeService, run: Run, curve: bool
) -> None:
    service.job_states = [{"state": "succeeded", "result": headroom_result(curve)}]
    shown = run("headroom", "c", "--wait")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("fine tune: 400 labels promise +13.1%\n")
    for text in ("0.900", "0.580 to 0.640", "2,117 passages: 106 s (20 a second)", "note: a proxy"):
        assert text in shown.stdout
    for text in ("812 domain terms: 2.31 pieces each, 41% kept whole", "tophus (top hus)", "worth trying: 479"):
        assert text in shown.stdout
    for text in ("400 labels: expected +0.080 (+0.050 to +0.110), +13.1%", "400 pairs: 16 min"):
        assert (text in shown.stdout) is curve


def trial_result(proposed: dict[str, Any] | None) -> dict[str, Any]:
    row = {
        "bytes_a_row": {"index": 1664, "beside": 0},
        "build_seconds": 4.2,
        "recall_at_10": 0.9941,
        "search_ms": {"p50": 7.123, "p95": 9.5},
    }
    return {
        "server": "Milvus 2.3.5",
        "passages": 81_000,
        "rows": 20_000,
        "queries": {"asked": 40, "judged": 60, "titles": 0},
        "candidates": [
            {"name": "float32/HNSW", "vector_type": "float32", "index_type": "HNSW", "rescore_factor": None}
            | row,
            {"name": "binary/FLAT/64", "vector_type": "binary", "index_type": "FLAT", "rescore_factor": 64}
            | row,
            {"name": "int8/HNSW", "refused": "Milvus 2.3.5 cannot do int8"},
        ],
        "proposed": proposed,
        "reason": "binary/FLAT/64 finds more",
        "notes": ["few passages"],
    }


@pytest.mark.parametrize(
    "proposed", [None, {"vector_type": "binary", "index_type": "FLAT", "rescore_factor": 64}]
)
def test_an_index_trial_is_shown_as_a_table_with_what_to_patch(
    service: FakeService, run: Run, proposed: dict[str, Any] | None
) -> None:
    service.job_states = [{"state": "succeeded", "result": trial_result(proposed)}]
    shown = run("index-trial", "c", "--wait")
    assert shown.exit_code == 0
    for text in ("Milvus 2.3.5, 20,000 of 81,000 passages", "binary/FLAT/64", "1,664", "0.994", "7.12", "9.50"):
        assert text in shown.stdout
    for line in (
        "int8/HNSW refused: Milvus 2.3.5 cannot do int8",
        "queries: 40 asked, 60 judged",
        "note: few passages",
        "binary/FLAT/64 finds more",
    ):
        assert line in shown.stdout.splitlines()
    body = '{"policy": {"index": {"vector_type": "binary", "index_type": "FLAT", "rescore_factor": 64}}}'
    assert (f"PATCH /v1/corpora/c {body}\nthen: embedloop reindex c --wait" in shown.stdout) is bool(proposed)


@pytest.mark.parametrize(("options", "promote"), [((), True), (("--no-promote",), False)])
def test_a_reranker_is_ordered_with_or_without_its_promotion(
    service: FakeService, run: Run, options: tuple[str, ...], promote: bool
) -> None:
    assert run("train-reranker", "c", *options).exit_code == 0
    sent = service.seen[-1].json
    assert (sent["kind"], sent["corpus"], sent["params"]) == ("reranker", "c", {"promote": promote})


def test_a_decision_is_sent_with_its_reason_and_a_rejection_needs_one(service: FakeService, run: Run) -> None:
    assert run("jobs", "approve", "j1").exit_code == 0
    assert service.seen[-1].json == {}
    assert run("jobs", "reject", "j1", "--reason", "worse about leases").exit_code == 0
    assert (service.paths()[-1], service.seen[-1].json) == (
        ("POST", "/v1/jobs/j1/reject"),
        {"reason": "worse about leases"},
    )
    asked = len(service.seen)
    assert run("jobs", "reject", "j1").exit_code == 2
    assert len(service.seen) == asked


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
