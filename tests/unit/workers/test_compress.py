"""A cheaper version of what serves: which model may be made cheaper, and the gate that it must pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from embedloop import jobs
from embedloop.catalog import corpora, models
from embedloop.encoder import INT8_FILE
from embedloop.errors import InvalidInput, ModelRefused
from embedloop.policy import GateSettings
from embedloop.query_map import QUERY_MAP_FILE
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.records.versions import ModelVersion
from tests.unit.workers.conftest import NAME, StageBody, run_job
from training.fidelity import Choice, Measured
from workers import compress, gate
from workers.parts import Parts


def end(parts: Parts, job: Job, lease: jobs.Lease) -> jobs.Outcome:
    """In place of the re-embed, which is that of every job."""
    return jobs.End(JobState.SUCCEEDED, job.checkpoint)


BODIES: Mapping[str, StageBody] = {"compress": compress.compress, "gate": gate.gate, "build": end}


def run(parts: Parts, params: Mapping[str, Any]) -> Job:
    """The job, ended before its re-embed."""
    return run_job(parts, JobKind.COMPRESS, {"max_drop": 0.01, **params}, BODIES)


def test_int8_version_of_what_serves_has_its_weights_and_passes_a_gate_that_asks_for_no_uplift(
    parts: Parts, tiny: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which graph of a tiny model is faster is chance.
    monkeypatch.setattr(compress, "check_faster", lambda choice: None)
    with parts.database.write() as connection:
        changed = corpora.get(connection, NAME).policy
        wanted = changed.gate.model_copy(update={"min_uplift": 0.0, "general": "none"})
        corpora.set_policy(connection, NAME, changed.model_copy(update={"gate": wanted}))
    job = run(parts, {"to": "int8", "max_drop": 0.9})
    assert job.state is JobState.SUCCEEDED, job.error
    assert (job.checkpoint["gate"]["verdict"], job.checkpoint["made_of"]) == ("passed", tiny.model_id)
    with parts.database.read() as connection:
        made = models.get(connection, job.checkpoint["model_version"])
    assert (made.backend, made.parent, made.training_set_id) == ("onnx_int8", tiny.model_id, None)
    assert INT8_FILE in made.manifest
    assert made.manifest["model.safetensors"] == tiny.manifest["model.safetensors"]
    assert made.metrics["compressed"] == {"to": "int8", "from": tiny.model_id}
    assert job.checkpoint["gate"]["metrics"]["min_uplift"] == -0.9
    again = run(parts, {"to": "int8", "model_version": made.model_id})
    assert (again.error or {})["field"] == "params.to"
    assert "has onnx_int8" in (again.error or {})["message"]


def test_int8_that_is_no_faster_here_is_refused() -> None:
    measured = [Measured(graph, 1, 1, 1, 0.7, 0, 6.0, 20.0) for graph in ("fp32", "dynamic")]
    with pytest.raises(ModelRefused, match="gains nothing on this machine"):
        compress.check_faster(Choice("dynamic", tuple(measured), {}))


def test_a_model_that_maps_its_queries_is_refused_with_the_one_to_take(tiny: ModelVersion) -> None:
    mapped = replace(tiny, parent="m-plain", manifest={**tiny.manifest, QUERY_MAP_FILE: "0"})
    with pytest.raises(InvalidInput, match="compress m-plain") as refusal:
        compress._refuse_mapped(mapped)
    assert refusal.value.field == "params.model_version"


def test_what_a_model_may_lose_for_its_speed_widens_every_bound_that_is_set() -> None:
    widened = GateSettings(max_slice_drop=0.05, max_general_drop=0.01).losing_at_most(0.2)
    assert (widened.min_uplift, widened.max_slice_drop) == (-0.2, 0.2)
    assert widened.max_general_drop == pytest.approx(0.21)
    assert GateSettings(max_slice_drop=None).losing_at_most(0.2).max_slice_drop is None
