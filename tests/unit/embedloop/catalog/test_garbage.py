"""Names of a catalog's own collections, and those that wait to be dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from embedloop import jobs
from embedloop.catalog import garbage, index_versions
from embedloop.catalog import jobs as job_rows
from embedloop.catalog.database import Database
from embedloop.jobs import End, Lease, Outcome, run_stage
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.records.versions import IndexVersion
from tests.unit.embedloop.catalog.conftest import CORPUS


def test_prefix_is_drawn_once(catalog: Database) -> None:
    with catalog.write() as connection:
        first = garbage.own_prefix(connection)
    with catalog.write() as connection:
        assert garbage.own_prefix(connection) == first
    assert first.startswith(garbage.COLLECTION_PREFIX)
    assert len(first) == len("elv_0123456789_")


def test_collections_of_versions_that_were_dropped_are_not_in_use(
    catalog: Database, add_version: Callable[..., IndexVersion]
) -> None:
    version = add_version("iv-1")
    with catalog.write() as connection:
        assert garbage.in_use(connection) == {version.collection}
        index_versions.mark_dropped(connection, "iv-1")
        assert garbage.in_use(connection) == set()


def test_what_is_noted_twice_keeps_its_time(catalog: Database) -> None:
    with catalog.write() as connection:
        garbage.doom(connection, ["a", "b"], after_seconds=-1)
        garbage.doom(connection, ["a", "c"], after_seconds=3600)
        assert garbage.due(connection) == ["a", "b"]
        assert garbage.doomed(connection) == {"a", "b", "c"}
        garbage.forget(connection, ["a", "c"])
        assert garbage.doomed(connection) == {"b"}


@pytest.mark.parametrize("ends", [False, True], ids=["goes-on", "ended"])
def test_the_scratch_collection_of_a_trial_is_in_use_until_the_trial_has_ended(
    catalog: Database, ends: bool
) -> None:
    with catalog.write() as connection:
        job, _ = jobs.submit(connection, JobKind.INDEX_TRIAL, CORPUS, {})

    def body(_: Job, lease: Lease) -> Outcome:
        lease.keep({"scratch": "c_trial"})
        return End(JobState.SUCCEEDED, {}) if ends else jobs.Wait(0.5)

    run_stage(
        catalog, job.job_id, "index_trial", body, lease_seconds=30, on_failure=lambda connection, failed: None
    )
    with catalog.read() as connection:
        assert job_rows.get(connection, job.job_id).state.ended is ends
        assert garbage.in_use(connection) == (set() if ends else {"c_trial"})
