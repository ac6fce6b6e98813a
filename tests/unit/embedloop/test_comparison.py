"""The checksum over keys: the order does not matter, everything else does."""

from __future__ import annotations

import random

import pytest

from embedloop.comparison import Checksum
from embedloop.index_rows import passage_id

KEYS = [bytes.fromhex(passage_id(f"d{n}", n % 3 + 1, n % 5)) for n in range(2000)]


def checksum(keys: list[bytes]) -> Checksum:
    made = Checksum()
    for key in keys:
        made.add(key)
    return made


def test_the_order_of_keys_does_not_matter() -> None:
    shuffled = random.Random(3).sample(KEYS, len(KEYS))
    assert checksum(KEYS) == checksum(shuffled)
    assert checksum(KEYS).hex() == checksum(shuffled).hex()
    assert checksum(KEYS).count == len(KEYS)


@pytest.mark.parametrize(
    "other",
    [KEYS[1:], [*KEYS, KEYS[0]], [*KEYS[1:], bytes.fromhex(passage_id("d0", 2, 0))], [*KEYS[1:], KEYS[1]]],
    ids=["one lost", "one twice", "one of another rev", "one twice for one lost"],
)
def test_any_other_keys_differ_in_the_parts_where_they_do(other: list[bytes]) -> None:
    whole, changed = checksum(KEYS), checksum(other)
    assert whole.hex() != changed.hex()
    parts = whole.differing(changed)
    touched = {key[0] for key in {*KEYS, *other} if KEYS.count(key) != other.count(key)}
    assert parts == touched


def test_nothing_sums_to_nothing() -> None:
    assert (Checksum().hex(), Checksum().count) == ("0" * 32, 0)
    assert Checksum().differing(Checksum()) == set()
