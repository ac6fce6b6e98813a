from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.labelled import FOLDS, MOST_LABELS, measure_labels, usable


def clusters(spread: float, count: int = 40) -> tuple[NDArray[np.float32], list[str | None]]:
    """Three labels on three axes of six dimensions, and noise."""
    generator = np.random.default_rng(3)
    labels: list[str | None] = [f"l{n % 3}" for n in range(count)]
    vectors = generator.normal(0, spread, size=(count, 6))
    vectors[np.arange(count), np.arange(count) % 3] += 1
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_labels_that_lie_apart_are_coherent_and_easy_to_tell() -> None:
    found = measure_labels(*clusters(0.05))
    assert found is not None
    assert found["coherence"]["silhouette"] > 0.8
    assert found["coherence"]["intra"] < 0.1 < 0.8 < found["coherence"]["inter"]
    assert found["downstream"] == {"knn_f1": 1.0, "linear_f1": 1.0}
    assert (found["documents"], found["labels"]) == (40, 3)


def test_labels_given_at_random_are_neither() -> None:
    vectors, labels = clusters(0.05, 120)
    shuffled = [labels[n] for n in np.random.default_rng(1).permutation(len(labels))]
    found = measure_labels(vectors, shuffled)
    assert found is not None
    assert found["coherence"]["silhouette"] < 0.05
    assert max(found["downstream"].values()) < 0.6


def test_documents_without_a_label_and_rare_labels_are_left_out() -> None:
    vectors, labels = clusters(0.05)
    found = usable(vectors, [None, "rare", *labels[2:]])
    assert found is not None
    assert sum(found.counts.values()) == 38
    assert set(found.counts) == {"l0", "l1", "l2"}


UNUSABLE = [["a"] * 40, [None] * 40, [f"u{n}" for n in range(40)], ["a"] * 38 + ["b"] * 2]


@pytest.mark.parametrize("labels", UNUSABLE, ids=["one", "none", "each its own", "one and a rare one"])
def test_labels_that_cannot_be_told_apart_measure_nothing(labels: list[str | None]) -> None:
    assert measure_labels(clusters(0.05)[0], labels) is None


def test_only_the_most_frequent_labels_are_kept() -> None:
    count = (MOST_LABELS + 5) * FOLDS
    vectors = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    found = usable(vectors, [f"l{n // FOLDS}" for n in range(count)])
    assert found is not None
    assert len(found.counts) == MOST_LABELS
