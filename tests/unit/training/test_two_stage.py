from __future__ import annotations

import numpy as np
import pytest

from embedloop.encoder import Vectors
from embedloop.errors import InvalidInput
from training.evaluation import rank_by_cosine
from training.two_stage import Tier, two_stage


def unit(generator: np.random.Generator, rows: int, dimension: int) -> Vectors:
    drawn = generator.normal(size=(rows, dimension)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def tiers() -> tuple[Tier, Tier, list[str]]:
    """Fifty passages of thirty documents; the coarse tier has the first half of the fine one's numbers."""
    generator = np.random.default_rng(0)
    fine = Tier(unit(generator, 8, 16), unit(generator, 50, 16))
    halves = [one[:, :8] for one in (fine.queries, fine.passages)]
    shorter = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in halves]
    return Tier(*shorter), fine, [f"d{row % 30:02}" for row in range(50)]


def test_all_passages_as_candidates_rank_as_the_fine_tier_alone(tiers: tuple[Tier, Tier, list[str]]) -> None:
    coarse, fine, ids = tiers
    assert two_stage(coarse, fine, ids, k=10, depth=50) == rank_by_cosine(fine.queries, fine.passages, ids, 10)


def test_only_candidates_of_the_first_stage_are_found(tiers: tuple[Tier, Tier, list[str]]) -> None:
    coarse, fine, ids = tiers
    allowed = [set(row) for row in rank_by_cosine(coarse.queries, coarse.passages, ids, 12)]
    found = two_stage(coarse, fine, ids, k=10, depth=12)
    assert all(set(row) <= candidates for row, candidates in zip(found, allowed, strict=True))
    assert found != [row[:10] for row in rank_by_cosine(coarse.queries, coarse.passages, ids, 12)]


def test_tiers_of_other_texts_are_refused(tiers: tuple[Tier, Tier, list[str]]) -> None:
    coarse, fine, ids = tiers
    with pytest.raises(InvalidInput, match=r"\(8, 49\)"):
        two_stage(Tier(coarse.queries, coarse.passages[1:]), fine, ids, k=10)
    with pytest.raises(InvalidInput, match="49 ids"):
        two_stage(coarse, fine, ids[1:], k=10)
