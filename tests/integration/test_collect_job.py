"""Stage `collect` over a real catalog and index, with a language model at the other end of HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedloop.catalog import corpora, models
from embedloop.jobs import Lease, Outcome
from embedloop.policy import GateSettings, Policy, Splits, Trigger
from embedloop.recipe.settings import TrainingSettings
from embedloop.recipe.sources import Generated
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.records.training import TrainingPair, TrainingSet
from embedloop.records.versions import ModelVersion
from tests.fake_language_model import FakeLanguageModel, completion, serving
from tests.integration.bench import Bench
from tests.integration.conftest import CHUNKING, TEXTS, ProcessGone
from training.pairs import read_training_set
from workers.collect import collect
from workers.parts import Parts

WRITTEN = TrainingSettings(
    sources=("generated",), generated=Generated(within=1), hard_negatives=0, transfer=None
)


def reply(body: dict[str, Any]) -> tuple[int, bytes]:
    """A query that finds its document for sure, and one that finds another one."""
    document = json.loads(body["messages"][1]["content"])["document"]
    other = TEXTS["heart"] if document == TEXTS["nose"] else TEXTS["nose"]
    return 200, completion(f"1. {document.rsplit(' ', 1)[0]}\n2. {other}")


@pytest.fixture
def model() -> Iterator[FakeLanguageModel]:
    with serving(reply) as server:
        yield server


@pytest.fixture
def served(bench: Bench, tiny: ModelVersion, model: FakeLanguageModel) -> Iterator[Bench]:
    bench.finish(bench.submit(model_version=tiny.model_id))
    told = bench.parts.settings.model_copy(update={"llm_url": model.url, "llm_model": "small"})
    parts = Parts(told)
    yield Bench(bench.world, parts)
    parts.queue.close()
    parts.database.dispose()


def ask(bench: Bench, training: TrainingSettings, **policy: Any) -> str:
    wanted = {"trigger": Trigger(min_pairs=2), "splits": Splits(golden=0, dev=0), **policy}
    with bench.world.database.write() as connection:
        made = Policy(chunking=CHUNKING, training=training, **wanted)
        corpora.set_policy(connection, bench.world.name, made)
    return bench.submit(JobKind.FINETUNE)


def collected(bench: Bench, job_id: str) -> tuple[TrainingSet, list[TrainingPair]]:
    job = bench.run(job_id, collect)
    assert job.stage == "train", (job.error, job.result)
    with bench.world.database.read() as connection:
        frozen = models.training_set(connection, job.checkpoint["training_set"])
    return frozen, read_training_set(bench.parts.store.fetch(frozen.training_set_id) / frozen.path)


def test_queries_that_find_their_document_train_and_the_others_are_counted(
    served: Bench, model: FakeLanguageModel
) -> None:
    served.world.put({"mail": "write to ann@example.org about your appointment"})
    served.world.apply(served.world.view(served.world.version(served.world.corpus().serving or "")))
    frozen, pairs = collected(served, ask(served, WRITTEN))
    lineage = {pair.document_id: pair.lineage for pair in pairs}
    assert {one: lineage[one] for one in TEXTS} == {one: (f"generated:{one}",) for one in TEXTS}
    told = frozen.report["sources"]["generated"]
    assert (told["documents"], told["written"], told["not_found"]) == (7, 14, 7)
    assert frozen.counts["generated"] == told["pairs"] == len(pairs)
    assert not any("ann@example.org" in json.dumps(body) for _, _, body in model.seen)


def test_a_worker_that_dies_while_queries_are_written_pays_for_none_twice(
    served: Bench, model: FakeLanguageModel
) -> None:
    def killed(parts: Parts, job: Job, lease: Lease) -> Outcome:
        def progress(share: float) -> None:
            if share > 0.45:
                raise ProcessGone

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lease, "progress", progress)
            return collect(parts, job, lease)

    job_id = ask(served, WRITTEN)
    with pytest.raises(ProcessGone):
        served.run(job_id, killed)
    assert 0 < len(model.seen) < len(TEXTS)
    served.expire(job_id)
    _, pairs = collected(served, job_id)
    assert len(pairs) == len(model.seen) == len(TEXTS)
    assert not (served.parts.settings.data_dir / "work" / job_id / "generated").exists()


def test_nothing_is_trained_where_neither_golden_queries_nor_documents_held_out_can_measure(
    served: Bench, tmp_path: Path
) -> None:
    glossary = tmp_path / "terms.csv"
    glossary.write_text("term,definition\nHTN,blood pressure too high\nMI,heart attack with pain\n")
    training = TrainingSettings(sources=("glossary",), glossary=str(glossary))
    job = served.run(ask(served, training, gate=GateSettings(without_labels="held_out")), collect)
    assert (job.state, (job.result or {})["code"]) == (JobState.REJECTED, "too_little_feedback")
    assert "policy.gate.min_queries" in (job.result or {})["reason"]
    _, pairs = collected(served, ask(served, training))
    assert {pair.lineage[0] for pair in pairs} == {"glossary:terms.csv:2", "glossary:terms.csv:3"}
