"""What callers are told of jobs that are paused or excluded, and of index versions and their lag."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from embedloop.orders import Order
from embedloop.records.jobs import JobState
from embedloop.records.versions import ModelVersion
from tests.integration.bench import Bench


def submit(http: TestClient, corpus: str) -> Any:
    return http.post("/v1/jobs", json={"kind": "reindex", "corpus": corpus})


def test_a_job_is_paused_and_resumed_over_http(bench: Bench, http: TestClient) -> None:
    job_id = submit(http, bench.world.name).json()["id"]
    paused = http.post(f"/v1/jobs/{job_id}/pause")
    assert (paused.status_code, paused.json()["state"]) == (202, "paused")
    assert http.post(f"/v1/jobs/{job_id}/pause").json()["state"] == "paused"
    assert [job["id"] for job in http.get("/v1/jobs", params={"state": "paused"}).json()["items"]] == [job_id]
    resumed = http.post(f"/v1/jobs/{job_id}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (202, "queued")
    assert http.post("/v1/jobs/j-none/pause").status_code == 404


@pytest.mark.parametrize("order", ["pause", "resume"])
def test_an_order_for_an_ended_job_is_refused_with_its_state(
    bench: Bench, http: TestClient, tiny: ModelVersion, order: str
) -> None:
    job = bench.finish(bench.submit(model_version=tiny.model_id))
    refused = http.post(f"/v1/jobs/{job.job_id}/{order}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert refused.json()["detail"] == f"job {job.job_id} is succeeded: there is nothing to {order}"
    assert bench.job(job.job_id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
def test_a_second_job_is_told_which_one_is_at_work_and_the_corpus_cannot_be_deleted(
    bench: Bench, http: TestClient, tiny: ModelVersion, state: JobState
) -> None:
    job_id = bench.submit(model_version=tiny.model_id)
    if state is not JobState.QUEUED:
        bench.run_until(job_id, "embed")
    if state is JobState.PAUSED:
        bench.give(job_id, Order.PAUSE)
    refused = submit(http, bench.world.name)
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith(f"job {job_id} (reindex, {state.value}) is at work on corpus")
    kept = http.delete(f"/v1/corpora/{bench.world.name}")
    assert kept.status_code == 409
    assert job_id in kept.json()["detail"]


def test_lag_is_told_of_every_view_in_the_api_and_in_metrics(
    bench: Bench, http: TestClient, tiny: ModelVersion
) -> None:
    world = bench.world
    standby = bench.finish(bench.submit(model_version=tiny.model_id)).checkpoint["index_version"]
    serving = bench.finish(bench.submit(model_version=tiny.model_id)).checkpoint["index_version"]
    job_id = bench.submit(model_version=tiny.model_id)
    building = bench.run_until(job_id, "embed").checkpoint["index_version"]
    (written,) = world.put({"new": "fever"})
    world.apply(world.view(world.version(serving)))

    listed = {v["id"]: v for v in http.get(f"/v1/corpora/{world.name}/index-versions").json()["items"]}
    states = {standby: "standby", serving: "serving", building: "building"}
    assert {identity: listed[identity]["state"] for identity in states} == states
    lags = {identity: written.seq - world.version(identity).applied_seq for identity in states}
    assert {identity: listed[identity]["lag"] for identity in states} == lags
    assert lags[serving] == 0
    assert min(lags[standby], lags[building]) > 0

    told = re.findall(
        r'embedloop_index_version_lag\{corpus="(.+?)",index_version="(.+?)",state="(.+?)"\} ([0-9.]+)',
        http.get("/metrics").text,
    )
    assert {(i, state): float(lag) for corpus, i, state, lag in told if corpus == world.name} == {
        (identity, state): float(lags[identity]) for identity, state in states.items()
    }
