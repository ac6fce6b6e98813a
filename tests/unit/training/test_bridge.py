from __future__ import annotations

import numpy as np
import pytest

from embedloop.errors import InvalidInput
from tests.unit.training.test_query_map import unit
from training.bridge import fit_bridge
from training.map_kinds import Matrix


def two_models(count: int, stretch: float, seed: int = 7) -> tuple[Matrix, Matrix]:
    """The same texts as a model of 24 dimensions and one of 16 put them; `stretch` is what no turn can undo."""
    generator = np.random.default_rng(seed)
    meanings = generator.normal(size=(count, 12))
    turns = [np.linalg.qr(generator.normal(size=(dimension, 12)))[0].T for dimension in (24, 16)]
    scales = np.exp(stretch * generator.normal(size=12))
    return unit(meanings @ turns[0]), unit(0.3 + meanings * scales @ turns[1])


@pytest.mark.parametrize("stretch", [0.0, 0.7])
def test_a_text_that_both_models_know_is_found_over_the_bridge(stretch: float) -> None:
    new, old = two_models(600, stretch)
    bridge = fit_bridge(new[:500], old[:500])
    nearest = np.argmax(bridge.query_map.apply(new[500:]) @ old.T, axis=1)
    assert np.mean(nearest == np.arange(500, 600)) > 0.9
    assert bridge.cosine > 0.9
    assert (bridge.learnt_from, bridge.chosen_on) == (400, 100)


def test_models_that_differ_by_a_turn_alone_get_a_turn() -> None:
    generator = np.random.default_rng(3)
    old = unit(generator.normal(size=(60, 16)))
    turn, _ = np.linalg.qr(generator.normal(size=(16, 16)))
    bridge = fit_bridge(unit(old @ turn.T), old)
    assert bridge.turn
    np.testing.assert_allclose(bridge.query_map.matrix, turn, atol=1e-4)


def test_models_that_have_nothing_in_common_are_told_to_be_far_apart() -> None:
    generator = np.random.default_rng(9)
    bridge = fit_bridge(unit(generator.normal(size=(20, 24))), unit(generator.normal(size=(20, 16))))
    assert bridge.cosine < 0.5


@pytest.mark.parametrize(("new", "old"), [(9, 9), (20, 19), (0, 0)])
def test_too_few_texts_and_texts_that_only_one_model_encoded_are_refused(new: int, old: int) -> None:
    left, right = two_models(20, 0.0)
    with pytest.raises(InvalidInput, match="10 texts"):
        fit_bridge(left[:new], right[:old])
