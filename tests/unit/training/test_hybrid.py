"""The weight of words beside vectors, chosen on dev queries."""

from __future__ import annotations

import random

import pytest

from embedloop.errors import InvalidInput
from training.hybrid import Tuning, tune_weight


def lists(
    finds: str, queries: int = 40
) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, dict[str, int]]]:
    """Runs by vectors and by words in which only one finds what is relevant, or neither."""
    near, by_words, qrels = {}, {}, {}
    for n in range(queries):
        query, right = f"q{n}", f"right{n}"
        near[query] = [f"near{k}" for k in range(9)]
        by_words[query] = [f"word{k}" for k in range(9)]
        if finds != "neither":
            (near if finds == "vectors" else by_words)[query].insert(n % 4, right)
        qrels[query] = {right: 1}
    return near, by_words, qrels


def tuned(finds: str, present: float) -> Tuning:
    return tune_weight(*lists(finds), present=present)


@pytest.mark.parametrize(("finds", "least", "most"), [("vectors", 0.0, 0.4), ("words", 0.6, 1.0)])
def test_the_side_that_finds_more_gets_the_greater_weight(finds: str, least: float, most: float) -> None:
    found = tuned(finds, 0.5)
    assert least <= found.best <= most
    assert found.proposed == found.best
    assert found.gain.low > 0
    assert found.points[found.best].mean > found.points[0.5].mean


def test_what_brings_nothing_beyond_chance_leaves_the_present_weight() -> None:
    found = tuned("neither", 0.3)
    assert (found.best, found.proposed, found.gain.mean) == (0.3, 0.3, 0)


def test_a_gain_of_luck_alone_is_not_proposed() -> None:
    dice = random.Random(1)
    near = {f"q{n}": [f"a{k}" for k in range(5)] for n in range(24)}
    by_words = {query: [f"b{k}" for k in range(5)] for query in near}
    qrels = {query: {dice.choice([*near[query], *by_words[query]]): 1} for query in near}
    found = tune_weight(near, by_words, qrels, present=0.5)
    assert found.points[found.best].mean > found.points[0.5].mean
    assert found.proposed == 0.5


def test_the_same_lists_give_the_same_tuning_whatever_their_order() -> None:
    near, by_words, qrels = lists("words")
    backwards = dict(reversed(qrels.items()))
    assert tune_weight(near, by_words, qrels, present=0.5) == tune_weight(
        near, by_words, backwards, present=0.5
    )


def test_too_few_queries_and_a_weight_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 5 queries, got 4"):
        tune_weight(*lists("words", 4), present=0.5)
    with pytest.raises(InvalidInput, match=r"0\.\.1, got 1\.5"):
        tuned("words", 1.5)
