"""The loop through the very commands of docker-compose.yml, with Redis, PostgreSQL and the Milvus engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
from sqlalchemy import text

from embedloop.catalog import index_versions
from embedloop.catalog.database import Database
from embedloop.client import Client
from embedloop.errors import EmbedloopError
from embedloop.index import MilvusIndex
from embedloop.promotion import alias_of
from tests import compose
from tests.e2e.production import Production, production
from tests.integration.stack import clinic, test_swap
from tests.integration.stack.conftest import JOB_SECONDS, make_corpus
from tests.patience import eventually
from tests.tiny_model import build_tiny_model
from workers.beat import LEASE_KEY

CORPUS = "wired"
DOCUMENTS = len(clinic.TERMS) + 1


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("base"), dimension=32, seed=1, words=clinic.WORDS))


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory, base_model: str) -> Iterator[Production]:
    """Two apis, two embed workers, two beats, one of each other worker, and a corpus that they have filled."""
    with production(tmp_path_factory.mktemp("wired")) as whole:
        whole.run("beat", "beat-1")
        for name in ("worker-apply", "worker-default", "worker-train"):
            whole.run(name, name)
        for service in ("api", "worker-embed"):
            for number in (1, 2):
                whole.run(service, f"{service}-{number}")
        eventually(lambda: whole.redis.exists(LEASE_KEY), "the first beat to hold the lease")
        # Started by mistake: there is one already.
        whole.run("beat", "beat-2")
        whole.wait_ready("api-1", "api-2")
        with whole.client("api-1") as first, whole.client("api-2") as second:
            make_corpus(first, CORPUS, base_model, filled=False, wait=False)
            lines = [
                {"id": d.document_id, "title": d.title, "text": d.text} for d in test_swap.long_documents()
            ]
            assert list(second.bulk_documents(CORPUS, lines))[-1]["summary"]["stored"] == len(lines)
            (build,) = first.jobs(CORPUS)
            assert first.wait_for_job(build["id"], JOB_SECONDS)["state"] == "succeeded"
            first.put_document(CORPUS, "last", text="the last of all", wait_applied=True)
        yield whole


@pytest.fixture
def first(wired: Production) -> Iterator[Client]:
    with wired.client("api-1") as client:
        yield client


@pytest.fixture
def second(wired: Production) -> Iterator[Client]:
    with wired.client("api-2") as client:
        yield client


@contextmanager
def catalog(wired: Production) -> Iterator[Database]:
    database = Database(wired.database_url)
    yield database
    database.dispose()


def test_every_process_is_healthy_by_the_check_of_its_service(wired: Production) -> None:
    for container in wired.containers.values():
        if container.service != "migrate":
            eventually(container.is_healthy, f"{container.name} to be healthy")


def test_process_whose_loop_stands_still_is_not_healthy(wired: Production) -> None:
    worker = wired.containers["worker-embed-1"]
    file = worker.environment["EMBEDLOOP_HEARTBEAT_FILE"]
    before = os.stat(file).st_mtime_ns
    eventually(lambda: os.stat(file).st_mtime_ns > before, "the worker to beat again")
    check = compose.services()["worker-embed"]["healthcheck"]["test"][1]
    for age_seconds, healthy in ((0, True), (3600, False)):
        copy = wired.folder / "old"
        copy.touch()
        os.utime(copy, (copy.stat().st_atime, copy.stat().st_mtime - age_seconds))
        environment = {**os.environ, "EMBEDLOOP_HEARTBEAT_FILE": str(copy)}
        ended = subprocess.run(["sh", "-c", check], env=environment, check=False)
        assert (ended.returncode == 0) is healthy


def test_cycle_is_promoted_while_both_replicas_answer_wholly_by_one_version(
    wired: Production, first: Client, second: Client
) -> None:
    found = second.search(CORPUS, "flu", top_k=20, session="ann")
    first.feedback(found.retrieval_id, "up", found.results[0].document_id)
    lines = [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)]
    assert list(second.bulk_judgments(CORPUS, lines))[-1]["summary"]["refused"] == 0
    before = first.corpus(CORPUS)["serving"]
    answers = []
    with searching(wired, "api-1") as one, searching(wired, "api-2") as two:
        job = first.submit_job("cycle", CORPUS)
        ended = second.wait_for_job(job["id"], JOB_SECONDS)
        assert ended["state"] == "succeeded", ended
        for searches in (one, two):
            searches.wait_for_more(20)
    assert ended["result"]["promoted"]
    after = ended["result"]["index_version"]
    expected = {
        version["id"]: test_swap.oracle(first, wired, CORPUS, version)  # type: ignore[arg-type]
        for version in first.index_versions(CORPUS)
        if version["id"] in (before, after)
    }
    for searches in (one, two):
        assert searches.errors == []
        assert {answer.index_version for _, answer in searches.answers} == {before, after}
        answers += searches.answers
    for query, answer in answers:
        test_swap.check(query, answer, expected[answer.index_version])


@contextmanager
def searching(wired: Production, name: str) -> Iterator[test_swap.Searches]:
    """Searches through one replica until the block ends."""
    with test_swap.searching(Address(wired.containers[name].url, wired), CORPUS) as searches:  # type: ignore[arg-type]
        yield searches


class Address:
    """What `test_swap.searching` wants to know of a stack."""

    def __init__(self, url: str, wired: Production):
        from tests.e2e.production import ADMIN_KEY

        self.url, self.admin_key, self.data_dir = url, ADMIN_KEY, wired.data_dir


def test_rollback_and_delete_reach_both_replicas(first: Client, second: Client) -> None:
    newer = first.corpus(CORPUS)["serving"]
    first.put_document(CORPUS, "since", text="written after the promotion", wait_applied=True)
    second.delete_document(CORPUS, "d19", wait_applied=True)
    back = second.rollback(CORPUS)
    assert back["previous"] == newer
    for client in (first, second):
        found = client.search(CORPUS, "written after", top_k=100)
        assert found.index_version == back["serving"]
        shown = {hit.document_id for hit in found.results}
        assert "since" in shown
        assert "d19" not in shown
    assert first.promote(CORPUS, newer)["serving"] == newer


def test_of_two_beats_one_sends_and_the_other_takes_over(wired: Production) -> None:
    assert senders(wired, 6) == {wired.containers["beat-1"].pid}
    wired.containers["beat-1"].kill()
    other = wired.containers["beat-2"].pid
    eventually(lambda: senders(wired, 1) == {other}, "the other beat to send")
    wired.containers["beat-1"].start()
    assert senders(wired, 4) == {other}


def senders(wired: Production, count: int) -> set[int]:
    """Process ids of the beats that sent the next tasks of the schedule."""
    with wired.redis.monitor() as monitor:
        commands = (told["command"] for told in monitor.listen())
        scheduled = (json.loads(c[c.index("{") :]) for c in commands if c.startswith("LPUSH default {"))
        sent = islice((m for m in scheduled if m["headers"].get("celery_beat_task")), count)
        return {int(message["headers"]["origin"].removeprefix("gen").partition("@")[0]) for message in sent}


def test_api_and_worker_killed_during_a_reembed(wired: Production, second: Client) -> None:
    with wired.client("api-1", retries=0) as doomed:
        found = doomed.search(CORPUS, "cough", session="bob")
        job = second.submit_job("reindex", CORPUS)
        wired.containers["api-1"].kill()
        with pytest.raises(EmbedloopError):
            doomed.search(CORPUS, "cough")
    wired.containers["worker-embed-1"].kill()
    given = second.feedback(found.retrieval_id, "up", found.results[0].document_id)
    second.put_document(CORPUS, "meanwhile", text="written while others were dead")
    ended = second.wait_for_job(job["id"], JOB_SECONDS)
    assert ended["state"] == "succeeded", ended
    assert second.corpus(CORPUS)["serving"] == ended["result"]["index_version"]
    second.put_document(CORPUS, "after", text="written after all", wait_applied=True)
    shown = {hit.document_id for hit in second.search(CORPUS, "written", top_k=100).results}
    assert {"meanwhile", "after"} <= shown
    # Its container is not started again but replaced, so that nobody has its name: its log is taken over.
    wired.run("api", "api-3")
    wired.run("worker-embed", "worker-embed-3")
    wired.wait_ready("api-3")

    def is_settled() -> bool:
        with catalog(wired) as database, database.read() as connection:
            statement = text("SELECT person, pending FROM feedback WHERE feedback_id = :id")
            person, pending = connection.execute(statement, {"id": given["feedback_id"]}).one()
        return person.endswith("/bob") and not pending

    eventually(is_settled, "the vote on a search of the killed api to be settled")
    assert not (wired.data_dir / "spool" / "api-1").exists()
    with wired.client("api-3") as replacing:
        assert replacing.search(CORPUS, "written").index_version == ended["result"]["index_version"]


def test_collection_that_milvus_lost_is_built_again_from_the_catalog(wired: Production, second: Client) -> None:
    serving = second.corpus(CORPUS)["serving"]
    with catalog(wired) as database, database.read() as connection:
        lost = index_versions.get(connection, serving).collection
    index = MilvusIndex(f"http://127.0.0.1:{wired.servers['milvus'].port}", timeout_seconds=30)
    index.drop_alias(alias_of(CORPUS))
    index.drop(lost)
    index.close()
    ended = second.wait_for_job(second.submit_job("reindex", CORPUS)["id"], JOB_SECONDS)
    assert ended["state"] == "succeeded", ended
    found = second.search(CORPUS, "written", top_k=100)
    assert found.index_version == ended["result"]["index_version"] != serving
    assert "after" in {hit.document_id for hit in found.results}


def test_sigterm_ends_every_process_by_itself(wired: Production) -> None:
    names = set(wired.containers) - {"migrate", "api-1", "worker-embed-1"}
    codes = wired.stop()
    assert set(codes) == names
    assert {name: code for name, code in codes.items() if code not in (0, 143)} == {}
    with catalog(wired) as database, database.read() as connection:
        assert (
            connection.execute(text("SELECT count(*) FROM replicas WHERE replica_id <> 'api-1'")).scalar() == 0
        )
        assert connection.execute(text("SELECT count(*) FROM documents WHERE live")).scalar() == DOCUMENTS + 2
