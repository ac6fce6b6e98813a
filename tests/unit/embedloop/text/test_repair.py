import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.errors import MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.repair import repaired


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("donâ€™t", "don’t"),
        ("cafÃ©", "café"),
        ("a\u00a0b", "a b"),
        ("a\r\n\n\n\nb ", "a\n\nb"),
        ("x &lt; 5", "x &lt; 5"),
        ("“quoted” ﬁbrosis", "“quoted” ﬁbrosis"),
        ("क्\u200dष रोग", "क्\u200dष रोग"),
    ],
)
def test_broken_text_is_repaired_and_sound_text_stays(text: str, expected: str) -> None:
    assert repaired(text, Removals(), collapse=False) == expected


def test_mojibake_is_counted_with_an_example() -> None:
    removals = Removals()
    repaired("I donâ€™t", removals, collapse=False)
    [told] = removals.told()
    assert (told.rule, told.example) == ("broken Unicode", "â€™t")


def test_sound_text_is_not_counted() -> None:
    removals = Removals()
    repaired("sound\u00a0text \r\n", removals, collapse=True)
    assert removals.told() == ()


def test_runs_of_blanks_are_kept_where_they_may_be_a_table() -> None:
    assert repaired("  a   b", Removals(), collapse=False) == "  a   b"
    assert repaired("  a   b", Removals(), collapse=True) == "  a b"


@given(st.text(), st.booleans())
def test_repairing_twice_changes_nothing(text: str, collapse: bool) -> None:
    once = repaired(text, Removals(), collapse=collapse)
    assert repaired(once, Removals(), collapse=collapse) == once


@given(st.text(alphabet=st.sampled_from("Ã¢â‚¬Å“©ï¿½™é \u00a0\u0085"), max_size=40))
def test_repairing_mojibake_twice_changes_nothing(text: str) -> None:
    once = repaired(text, Removals(), collapse=False)
    assert repaired(once, Removals(), collapse=False) == once


def test_missing_ftfy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[ingest\]"):
        repaired("x", Removals(), collapse=False)
