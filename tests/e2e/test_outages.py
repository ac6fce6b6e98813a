"""The engine, PostgreSQL and Redis go away for a while, one after the other; two replicas live through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import select

from embedloop.catalog.database import Database
from embedloop.catalog.label_tables import feedback, retrievals
from tests.e2e.production import ADMIN_KEY, Production, production
from tests.integration.stack import clinic
from tests.integration.stack.conftest import JOB_SECONDS, make_corpus
from tests.integration.stack.outages import Caller
from tests.patience import PATIENCE_SECONDS, eventually
from tests.tiny_model import build_tiny_model

CORPUS = "patient"
WORKERS = ("worker-apply", "worker-default", "worker-embed", "worker-train", "beat")


@pytest.fixture(scope="module")
def lame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Two apis and the workers that they need, with a corpus of two index versions."""
    base_model = build_tiny_model(tmp_path_factory.mktemp("base"), dimension=32, seed=1, words=clinic.WORDS)
    with production(tmp_path_factory.mktemp("lame")) as whole:
        for name in WORKERS:
            whole.run(name, name)
        for name in ("api-1", "api-2"):
            whole.run("api", name)
        whole.wait_ready("api-1", "api-2")
        with whole.client("api-1") as client:
            make_corpus(client, CORPUS, str(base_model))
            job = client.wait_for_job(client.submit_job("reindex", CORPUS)["id"], JOB_SECONDS)
            assert job["state"] == "succeeded", job
        yield whole


@contextmanager
def calling(lame: Production, name: str) -> Iterator[Caller]:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with (
        httpx.Client(base_url=lame.containers[name].url, headers=headers, timeout=PATIENCE_SECONDS) as http,
        lame.client(name) as client,
    ):
        yield Caller(http, client, CORPUS)


@pytest.fixture
def near(lame: Production) -> Iterator[Caller]:
    with calling(lame, "api-1") as caller:
        yield caller


@pytest.fixture
def far(lame: Production) -> Iterator[Caller]:
    with calling(lame, "api-2") as caller:
        yield caller


@contextmanager
def away(lame: Production, server: str) -> Iterator[None]:
    """Killed, and started again when the block ends."""
    lame.servers[server].kill()
    try:
        yield
    finally:
        lame.servers[server].start()


def test_postgresql_away_searches_go_on_unverified_and_votes_are_not_lost(
    lame: Production, near: Caller, far: Caller
) -> None:
    before = [caller.search().json() for caller in (near, far)]
    with away(lame, "postgres"):
        unverified = [caller.search() for caller in (near, far)]
        assert [answer.json()["verified"] for answer in unverified] == [False, False]
        assert near.refused(lambda: near.put("catalogless"))
        assert near.refused(lambda: near.http.post(f"/v1/corpora/{CORPUS}/rollback"))
        assert near.refused(lambda: near.http.get("/v1/jobs"))
        voted = [near.vote(before[1]), far.vote(before[0]), near.vote(unverified[0].json())]
        assert [vote.json()["status"] for vote in voted] == ["pending"] * 3
        assert not near.ready()
    near.wait_healed()
    far.wait_healed()
    given = {vote.json()["feedback_id"] for vote in voted}
    shown = {answer.json()["retrieval_id"] for answer in unverified}
    eventually(lambda: settled(lame, given, shown), "the votes and retrievals to be stored")


def settled(lame: Production, given: set[str], shown: set[str]) -> bool:
    database = Database(lame.database_url)
    try:
        with database.read() as connection:
            votes = select(feedback.c.feedback_id).where(~feedback.c.pending)
            logged = set(connection.execute(select(retrievals.c.retrieval_id)).scalars())
            return given <= set(connection.execute(votes).scalars()) and shown <= logged
    finally:
        database.dispose()


def test_engine_away_refuses_searches_takes_writes_and_votes_and_jobs_wait(
    lame: Production, near: Caller, far: Caller
) -> None:
    found = near.search().json()
    with away(lame, "milvus"):
        assert near.refused(near.search)
        assert near.put("engineless").is_success
        voted = far.vote(found)
        waiting = far.client.submit_job("reindex", CORPUS, {"promote": False})
        eventually(lambda: not near.ready(), "the replica to be unready")
    for caller in (near, far):
        caller.wait_healed("engineless")
    assert near.client.wait_for_job(waiting["id"], JOB_SECONDS)["state"] == "succeeded"
    given, shown = {voted.json()["feedback_id"]}, {found["retrieval_id"]}
    eventually(lambda: settled(lame, given, shown), "the vote to be stored")


def test_redis_away_a_rollback_reaches_both_replicas_and_jobs_wait(
    lame: Production, near: Caller, far: Caller
) -> None:
    newer = near.client.corpus(CORPUS)["serving"]
    with away(lame, "redis"):
        older = near.client.rollback(CORPUS)["serving"]
        assert older != newer
        for caller in (near, far):
            assert caller.search().json()["index_version"] == older
            assert caller.put(f"brokerless-{caller is near}").is_success
        waiting = far.client.submit_job("reindex", CORPUS, {"promote": False})
    assert near.client.wait_for_job(waiting["id"], JOB_SECONDS)["state"] == "succeeded"
    for caller in (near, far):
        caller.wait_healed("brokerless-True", "brokerless-False")
