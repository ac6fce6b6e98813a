from __future__ import annotations

import math

import numpy as np
import pytest

from training.space import space_of

AXES = np.eye(3, dtype=np.float32)


def test_orthogonal_texts_have_no_common_direction() -> None:
    space = space_of(AXES, AXES, AXES)
    assert space.alignment == pytest.approx(0.0)
    assert space.anisotropy == pytest.approx(0.0)
    assert space.uniformity == pytest.approx(-4.0)


def test_collapsed_space_is_neither_uniform_nor_isotropic() -> None:
    same = AXES[[0, 0, 0]]
    space = space_of(same, same, same)
    assert (space.uniformity, space.anisotropy) == (pytest.approx(0.0), pytest.approx(1.0))


def test_measures_follow_their_definitions() -> None:
    generator = np.random.default_rng(3)
    queries, positives, texts = (generator.normal(size=(size, 8)) for size in (20, 20, 30))
    queries, positives, texts = (
        (one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32)
        for one in (queries, positives, texts)
    )
    space = space_of(queries, positives, texts)
    pairs = [(left, right) for left in range(30) for right in range(left)]
    squared = [float(np.sum((texts[left] - texts[right]) ** 2)) for left, right in pairs]
    assert space.alignment == pytest.approx(np.mean(np.sum((queries - positives) ** 2, axis=1)), rel=1e-5)
    assert space.uniformity == pytest.approx(math.log(np.mean(np.exp(-2 * np.array(squared)))), rel=1e-5)
    assert space.anisotropy == pytest.approx(np.mean([texts[a] @ texts[b] for a, b in pairs]), abs=1e-6)
