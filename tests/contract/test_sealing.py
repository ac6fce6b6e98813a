"""Sealing a collection: when is its finished index what searches use?"""

from __future__ import annotations

import numpy as np
import pytest

from embedloop.errors import DeadlineExceeded, JobCancelled
from embedloop.index import MilvusIndex
from embedloop.index_sealing import Handover
from embedloop.policy import IndexSettings
from tests.contract.rows import passage, unit_vectors

DIMENSION = 384
# So many that the engine puts an interim index of low recall over the growing segment.
ROWS = 6000
SETTINGS = IndexSettings(ef_search=1024)


def test_a_sealed_collection_is_searched_through_its_finished_index(index: MilvusIndex, unique: str) -> None:
    vectors = unit_vectors(ROWS, dimension=DIMENSION)
    index.create(unique, DIMENSION, SETTINGS)
    index.upsert(unique, [passage(f"d{n}") for n in range(ROWS)], vectors)
    index.seal(unique)
    answers = index.search(unique, vectors[:50], 10, settings=SETTINGS, strong=True)
    index.drop(unique)
    exact = np.argsort(-(vectors[:50] @ vectors.T), axis=1)[:, :10]
    found = sum(
        len({hit.passage.document_id for hit in hits} & {f"d{n}" for n in wanted})
        for hits, wanted in zip(answers, exact, strict=True)
    )
    assert found >= 0.9 * 500


def test_waiting_for_a_seal_ends_when_its_caller_was_cancelled(
    index: MilvusIndex, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled() -> None:
        raise JobCancelled("job j-1 was cancelled")

    monkeypatch.setattr("embedloop.index.handover", lambda *_: Handover.PENDING)
    with pytest.raises(JobCancelled):
        index.seal(collection, while_waiting=cancelled)


def test_a_seal_that_does_not_come_is_told(
    index: MilvusIndex, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedloop.index.handover", lambda *_: Handover.PENDING)
    with pytest.raises(DeadlineExceeded, match=f"{collection} is not in use after 0 s"):
        index.seal(collection, timeout_seconds=0)


def test_a_server_that_tells_nothing_of_a_segments_index_is_given_time(
    index: MilvusIndex, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []
    monkeypatch.setattr("embedloop.index.handover", lambda *_: Handover.SEGMENTS)
    monkeypatch.setattr("embedloop.index.UNTOLD_SECONDS", 0.5)
    index.seal(collection, timeout_seconds=60, while_waiting=lambda: looks.append(None))
    assert looks
