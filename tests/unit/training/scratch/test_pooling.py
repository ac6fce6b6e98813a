from __future__ import annotations

import numpy as np
import pytest

from training.scratch.pooling import principal_directions, sif_weights, text_means, without


def test_rare_word_weighs_more_than_a_frequent_one_and_an_unseen_one_weighs_most() -> None:
    weights = sif_weights(["the", "gout", "never"], {"the": 900, "gout": 100}, a=0.1)
    assert weights == pytest.approx([0.1, 0.5, 1.0])


def test_mean_of_a_text_is_that_of_its_rows_and_empty_texts_are_left_out() -> None:
    rows = np.array([[0, 0], [2, 0], [0, 4]], dtype=np.float32)
    assert text_means(rows, [[1, 2], [], [1]]).tolist() == [[1, 2], [2, 0]]
    assert text_means(rows, [[]]).shape == (0, 2)


def test_what_all_texts_share_is_the_first_direction() -> None:
    generator = np.random.default_rng(0)
    shared = np.array([3.0, 4.0, 0.0], dtype=np.float32)
    means = shared + generator.normal(0, 0.1, (200, 3)).astype(np.float32)
    directions = principal_directions(means)
    assert directions[0] == pytest.approx([0.6, 0.8, 0.0], abs=0.02)
    assert directions @ directions.T == pytest.approx(np.eye(3), abs=1e-5)


def test_removed_direction_is_gone_and_the_others_stay() -> None:
    direction = np.array([[0.6, 0.8]], dtype=np.float32)
    projection = without(direction)
    assert projection @ direction[0] == pytest.approx([0, 0], abs=1e-6)
    assert projection @ np.array([-0.8, 0.6]) == pytest.approx([-0.8, 0.6], abs=1e-6)
