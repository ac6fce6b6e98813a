"""Milvus Lite and the broker hang for a while: clean refusals, work that goes on, and no hand that heals it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from embedloop.client import Client
from embedloop.index import MilvusIndex
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import QUICK, make_corpus, succeeded
from tests.integration.stack.outages import Caller
from tests.patience import PATIENCE_SECONDS, eventually
from tests.servers import family_of

CORPUS = "patient"
SHORT = {**QUICK, "EMBEDLOOP_MILVUS_TIMEOUT_SECONDS": "2", "EMBEDLOOP_SEARCH_TIMEOUT_SECONDS": "3"}


@pytest.fixture(scope="module")
def lame(tmp_path_factory: pytest.TempPathFactory, base_model: str) -> Iterator[Stack]:
    """A stack of its own, whose parts may be stopped."""
    with Stack(tmp_path_factory.mktemp("lame"), environment=SHORT) as stack:
        with Client(stack.url, stack.admin_key) as client:
            make_corpus(client, CORPUS, base_model)
        yield stack


@pytest.fixture
def caller(lame: Stack) -> Iterator[Caller]:
    headers = {"Authorization": f"Bearer {lame.admin_key}"}
    with (
        httpx.Client(base_url=lame.url, headers=headers, timeout=PATIENCE_SECONDS) as http,
        Client(lame.url, lame.admin_key, timeout_seconds=PATIENCE_SECONDS) as client,
    ):
        yield Caller(http, client, CORPUS)


@contextmanager
def hung(stack: Stack, part: str) -> Iterator[None]:
    """The part's connections stay open, and nothing answers."""
    family = family_of(stack.pid(part))
    for process in family:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in family:
            os.kill(process.pid, signal.SIGCONT)


def test_milvus_that_hangs_refuses_searches_and_takes_writes_and_votes(lame: Stack, caller: Caller) -> None:
    found = caller.search().json()
    with hung(lame, "milvus"):
        assert caller.refused(caller.search)
        assert caller.put("milvusless").is_success
        assert caller.vote(found).json()["status"] == "stored"
        eventually(lambda: not caller.ready(), "the replica to be unready")
    caller.wait_healed("milvusless")


def test_broker_that_hangs_stops_no_search_write_vote_or_promotion(lame: Stack, caller: Caller) -> None:
    older = caller.client.corpus(CORPUS)["serving"]
    job = succeeded(caller.client, caller.client.submit_job("reindex", CORPUS))
    newer = job["result"]["index_version"]
    with hung(lame, "valkey"):
        assert caller.search().json()["index_version"] == newer
        assert caller.put("brokerless").is_success
        assert caller.vote(caller.search().json()).is_success
        # The replica learns of it from the catalog.
        assert caller.client.rollback(CORPUS)["serving"] == older
        assert caller.search().json()["index_version"] == older
        waiting = caller.client.submit_job("reindex", CORPUS, {"promote": False})
    succeeded(caller.client, waiting)
    caller.wait_healed("brokerless")


def test_corpus_deleted_while_milvus_hangs_is_gone_and_its_collections_follow(
    lame: Stack, caller: Caller, base_model: str
) -> None:
    make_corpus(caller.client, "doomed", base_model)
    with hung(lame, "milvus"):
        assert caller.http.delete("/v1/corpora/doomed").status_code == 204
        assert caller.http.get("/v1/corpora/doomed").status_code == 404
    eventually(lambda: not collections_of(lame, "doomed"), "its collections to be dropped")
    caller.wait_healed()


def collections_of(stack: Stack, corpus: str) -> list[str]:
    index = MilvusIndex(f"http://127.0.0.1:{stack._milvus_port}", timeout_seconds=PATIENCE_SECONDS)
    try:
        return [name for name in index.collections() if f"_{corpus}_" in name]
    finally:
        index.close()
