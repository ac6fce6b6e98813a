"""A second replica and a second embed worker beside a stack that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from embedloop.client import Client
from embedloop.errors import Unavailable
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import QUICK, corpus_name, make_corpus, succeeded
from tests.patience import eventually


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("replicas"), environment=QUICK) as started:
        yield started


@pytest.fixture(scope="module")
def replicas(own_stack: Stack) -> Iterator[tuple[Client, Client]]:
    key = own_stack.admin_key
    with Client(own_stack.url, key) as first, Client(own_stack.add_replica(), key) as second:
        yield first, second


def test_both_replicas_answer_from_the_new_version_when_the_job_has_ended(
    replicas: tuple[Client, Client], base_model: str
) -> None:
    first, second = replicas
    name = corpus_name("test_both_replicas")
    make_corpus(first, name, base_model)
    query = clinic.questions(0)[0][0]
    before = {replica.search(name, query).index_version for replica in replicas}
    result = succeeded(second, second.submit_job("reindex", name))["result"]
    after = {replica.search(name, query).index_version for replica in replicas}
    assert len(before) == 1
    assert after == {result["index_version"]}
    assert after != before


def test_replica_that_was_killed_comes_back_at_its_address(
    own_stack: Stack, replicas: tuple[Client, Client]
) -> None:
    killed = own_stack.pid("service-2")
    psutil.Process(killed).kill()

    def is_back() -> bool:
        try:
            return own_stack.pid("service-2") != killed and bool(replicas[1].ready())
        except Unavailable:
            return False

    eventually(is_back, "the second replica to be back")
    assert replicas[0].ready()


def test_worker_that_is_added_is_supervised_and_named_after_those_that_were_there(own_stack: Stack) -> None:
    assert own_stack.add_worker() == "embed-2"
    assert own_stack.names.count("embed-2") == 1
    eventually(lambda: Path(f"/proc/{own_stack.pid('embed-2')}").is_dir(), "the worker to run")
