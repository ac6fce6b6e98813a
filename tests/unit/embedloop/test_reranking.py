"""How a replica comes by a re-ranker that cannot be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import wait

import pytest

from embedloop import reranking
from embedloop.catalog.database import Database
from embedloop.recipe.reranking import Reranking
from embedloop.registry import ModelStore
from embedloop.reranking import Rerankers

WANTED = Reranking(model="m-nowhere")


@pytest.fixture
def rerankers(database: Database, model_store: ModelStore) -> Iterator[Rerankers]:
    made = Rerankers(database, model_store, threads=1)
    yield made
    made.close()


def look(rerankers: Rerankers) -> None:
    wait(rerankers.want({"m-nowhere"}), timeout=10)
    assert rerankers.offer(WANTED, None) is None


def test_what_cannot_be_loaded_is_told_once_and_rests(
    rerankers: Rerankers, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        look(rerankers)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "nothing is re-ranked by m-nowhere"
    ]


def test_what_cannot_be_loaded_is_tried_again_after_its_rest(
    rerankers: Rerankers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reranking, "RETRY_SECONDS", -1.0)
    for _ in range(2):
        look(rerankers)
    assert len(caplog.records) == 2
