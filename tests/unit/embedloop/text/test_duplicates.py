import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.errors import MissingExtra
from embedloop.text import duplicates
from embedloop.text.duplicates import BANDS, band_keys, shingles, similarity

TEXT = " ".join(f"word{number}" for number in range(200))


def test_case_punctuation_and_blanks_make_no_difference() -> None:
    assert np.array_equal(shingles("Gout is PAINFUL."), shingles("gout,  is\npainful"))


def test_near_copy_shares_a_key_and_is_similar() -> None:
    copy = f"{TEXT} and a little more"
    assert set(band_keys(shingles(TEXT))) & set(band_keys(shingles(copy)))
    assert similarity(shingles(TEXT), shingles(copy)) > 0.95


def test_other_text_shares_no_key() -> None:
    other = " ".join(f"other{number}" for number in range(200))
    assert not set(band_keys(shingles(TEXT))) & set(band_keys(shingles(other)))


def test_text_without_words_has_no_key_and_resembles_nothing() -> None:
    assert band_keys(shingles("...")) == []
    assert similarity(shingles("..."), shingles("...")) == 0.0


def test_keys_are_stable_across_releases() -> None:
    keys = band_keys(shingles("gout is a disease of the joints"))
    assert len(keys) == BANDS
    assert keys[0] == "004553253874a98b38"


@given(st.text(), st.text())
def test_similarity_is_symmetric_and_one_for_the_same(one: str, other: str) -> None:
    first, second = shingles(one), shingles(other)
    assert similarity(first, second) == similarity(second, first)
    assert similarity(first, first) in (0.0, 1.0)


def test_missing_datasketch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    duplicates._blank_sketch.cache_clear()
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[core\]"):
        band_keys(shingles("gout is painful"))
