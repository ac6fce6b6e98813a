import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.text.normalise import clean_text, query_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is gout?", "WHAT IS GOUT"),
        ("gout treatment", "treatment, gout"),
        ("gout   treatment\n", "gout treatment"),
        ("the the gout", "the gout"),
        ("don't panic", "dont panic"),
        ("ﬁbrosis ２", "fibrosis 2"),
        ("café", "cafe\u0301"),
        ("Straße", "STRASSE"),
        ("covid-19 vaccine", "Covid 19 vaccine"),
        ("क्\u200dष रोग", "क्ष रोग"),
    ],
)
def test_near_duplicates_share_a_key(one: str, other: str) -> None:
    assert query_key(one) == query_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gout", "gouty"),
        ("3.5 mg", "35 mg"),
        ("3.5 mg", "5.3 mg"),
        ("C++ code", "C code"),
        ("C# code", "C code"),
        ("किताब", "कतब"),
        ("resume", "résumé"),
        ("?!", "..."),
    ],
)
def test_different_queries_have_different_keys(one: str, other: str) -> None:
    assert query_key(one) != query_key(other)


def test_key_is_stable_across_releases() -> None:
    assert query_key("What is gout?") == "a7bb55caa26ee20e"


@given(st.text())
def test_key_of_any_text_is_sixteen_hex_digits_and_survives_upper_case_blanks(text: str) -> None:
    key = query_key(text)
    assert len(key) == 16
    assert int(key, 16) >= 0
    assert query_key(f"  {text}\t") == key


def test_clean_text_unifies_line_ends_and_drops_control_characters() -> None:
    assert clean_text("a \r\nb\rc\u2028d\x00\x1b\ufeff\t\n\n") == "a\nb\nc\nd"


def test_clean_text_composes_and_keeps_indents_and_joiners() -> None:
    assert clean_text("  cafe\u0301 क्\u200dष") == "  café क्\u200dष"


def test_clean_text_drops_lone_surrogates_that_no_file_could_hold() -> None:
    assert clean_text("a\ud800b") == "ab"


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
