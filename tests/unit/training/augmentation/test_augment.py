from __future__ import annotations

import random
from collections.abc import Sequence

from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.augmentation.augment import augment
from training.augmentation.spelling import Misspelling


def pair(anchor: str, document_id: str = "d1", split: Split = Split.TRAIN) -> TrainingPair:
    key, text = query_key(anchor), f"text of {document_id}"
    return TrainingPair(anchor, text, ("wrong",), key, document_id, split, ("f-1",), "c", ("d9",))


class Suffixed:
    def __init__(self, suffix: str = "please") -> None:
        self.suffix = suffix

    def variants(self, query: str, generator: random.Random) -> Sequence[str]:
        return [f"{query} {self.suffix}", "never asked for"]


def test_variant_keeps_everything_of_its_pair_and_says_what_made_it() -> None:
    (made,) = augment([pair("gout")], {"synonyms": Suffixed()}, 1.0, 1).pairs
    assert (made.anchor, made.anchor_key) == ("gout please", query_key("gout please"))
    assert (made.positive, made.negatives, made.negative_ids) == ("text of d1", ("wrong",), ("d9",))
    assert made.lineage == ("f-1", "augmented:synonyms")


def test_what_is_measured_stays_as_people_asked_it() -> None:
    assert augment([pair("gout", split=Split.DEV)], {"synonyms": Suffixed()}, 1.0, 1).pairs == []


def test_variant_that_asks_for_another_document_is_left_out() -> None:
    pairs = [pair("gout"), pair("gout please", "d2"), pair("toe"), pair("toe please")]
    made = augment(pairs, {"synonyms": Suffixed()}, 1.0, 1)
    assert made.pairs == []
    assert made.told == {"synonyms": {"ambiguous": 1, "known": 3}}


def test_share_and_seed_choose_the_pairs() -> None:
    pairs = [pair(f"a question with number {n}", f"d{n}") for n in range(200)]
    first, again = (augment(pairs, {"spelling": Misspelling()}, 0.3, 7).pairs for _ in range(2))
    assert first == again
    assert 30 < len(first) < 90
    assert augment(pairs, {"spelling": Misspelling()}, 0.3, 8).pairs != first
