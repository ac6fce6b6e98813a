"""A headroom job on a real index, with a real training probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from embedloop.catalog import corpora, index_versions, models
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.orders import Order
from embedloop.policy import GateSettings, Policy, Trigger
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.labels import Split
from embedloop.records.versions import IndexState, ModelVersion
from tests.integration.bench import Bench
from tests.integration.conftest import CHUNKING
from tests.tiny_model import build_tiny_model

DOCUMENTS = 60


@pytest.fixture
def labelled(bench: Bench, tiny: ModelVersion, tmp_path: Path) -> Bench:
    """Sixty documents, each asked for by two training queries and every third by a golden one."""
    world = bench.world
    world.put({f"n{n:02}": f"condition number{n} of the body" for n in range(DOCUMENTS)})
    policy = Policy(
        chunking=CHUNKING,
        base_model=str(build_tiny_model(tmp_path / "base")),
        trigger=Trigger(new_feedback=None, min_pairs=20),
        training=TrainingSettings(batch_size=8, threads=1),
        gate=GateSettings(pool_size=30),
    )
    with world.database.write() as connection:
        corpora.set_policy(connection, world.name, policy)
    bench.finish(bench.submit(model_version=tiny.model_id))
    return bench


def label(bench: Bench, count: int, dev: int = 0) -> None:
    lines = [ImportedJudgment(f"dev number{n}", f"n{n:02}", 1, Split.DEV) for n in range(dev)]
    for n in range(count):
        target = f"n{n:02}"
        if n % 3 == 0:
            lines.append(ImportedJudgment(f"golden number{n}", target, 1, Split.GOLDEN))
        else:
            lines += [
                ImportedJudgment(f"{way} number{n}", target, 1, Split.TRAIN) for way in ("what is", "why")
            ]
    assert import_judgments(bench.world.database, bench.world.corpus(), lines) == [None] * len(lines)


def measured(bench: Bench) -> dict[str, Any]:
    job = bench.run(bench.submit(JobKind.HEADROOM))
    assert job.state is JobState.SUCCEEDED, job.error
    return dict(job.result or {})


def model_ids(bench: Bench) -> set[str]:
    with bench.world.database.read() as connection:
        return {model.model_id for model in models.every(connection)}


def test_headroom_tells_baselines_curve_cost_and_verdict_and_keeps_no_model(labelled: Bench) -> None:
    label(labelled, DOCUMENTS, dev=20)
    before = model_ids(labelled)
    found = measured(labelled)
    assert found["labels"] == {"train": 80, "dev": 20, "golden": 20}
    scores = {name: one["mean"] for name, one in found["scores"].items()}
    assert scores["baseline"] <= scores["oracle"] <= 1
    # Each query shares a number with its document, which words find.
    assert scores["bm25"] > 0.9
    assert {one["queries"] for one in found["scores"].values()} == {40}
    # Nothing is fused yet, and words would find what the tiny model does not.
    assert (found["hybrid"]["queries"], found["hybrid"]["present"]) == (20, 0)
    assert found["hybrid"]["proposed"] > 0
    assert found["verdict"] in ("use_as_is", "adapter")
    assert [one["labels"] for one in found["curve"]["expected"]] == [80, 320]
    vocabulary = found["vocabulary"]
    assert vocabulary["passages"] == found["passages"]
    assert vocabulary["advice"].startswith("not worth it")
    assert {"condition", "body"} & {one["term"] for one in vocabulary["worst"]}
    cost = found["cost"]
    assert cost["reembed_seconds"] == pytest.approx(found["passages"] / cost["passages_per_second"])
    assert cost["training"]["pairs"] == 80
    assert 0 < cost["training"]["steps_probed"] <= cost["training"]["steps"]
    assert cost["training"]["seconds"] > 0
    # The untrained base, which a training would start from, and nothing else.
    assert len(model_ids(labelled) - before) <= 1
    assert not list((labelled.parts.settings.data_dir / "work").iterdir())


def test_too_few_labels_are_told_by_number_and_nothing_is_trained(labelled: Bench) -> None:
    label(labelled, 12)
    found = measured(labelled)
    assert (found["verdict"], found["cost"]["training"], found["curve"]) == ("use_as_is", None, None)
    assert "16 labels, at least 20 are needed" in found["reason"]


def test_headroom_runs_beside_a_re_embed_and_its_end_retires_nothing(
    labelled: Bench, tiny: ModelVersion
) -> None:
    label(labelled, 12)
    build = labelled.submit(model_version=tiny.model_id)
    labelled.run_until(build, "embed")
    job_id = labelled.submit(JobKind.HEADROOM)
    labelled.give(job_id, Order.CANCEL)
    assert labelled.run(job_id).state is JobState.CANCELLED
    with labelled.world.database.read() as connection:
        states = [v.state for v in index_versions.of_corpus(connection, labelled.world.name)]
    assert IndexState.BUILDING in states
    assert labelled.finish(build).state is JobState.SUCCEEDED
