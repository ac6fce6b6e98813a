"""The commands that start jobs, order them about, and show what came of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.embedloop.conftest import Run
from tests.unit.embedloop.fake_service import REASON, FakeService


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


def test_jobs_are_listed_and_shown(service: FakeService, run: Run) -> None:
    service.job_states = [{"state": "running", "stage": "embed", "progress": 0.25}]
    assert "reindex" in run("jobs").stdout
    assert (
        json.loads(run("jobs", "list", "--corpus", "c", "--state", "running", "--json").stdout)[0]["id"] == "j1"
    )
    assert service.seen[-1].query == "corpus=c&state=running"
    assert run("jobs", "show", "j1").stdout.strip() == "reindex j1 of c: running, embed, 25%"
    assert run("jobs", "show", "j9").exit_code == 1


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
