from __future__ import annotations

import random

import pytest

from training.augmentation.abbreviations import Abbreviations, AbbreviationTable, definitions_in, long_form
from training.unlabelled.glossary import Entry


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Her blood pressure (BP) rose.", [("BP", "blood pressure")]),
        ("An electrocardiogram (ECG) was made.", [("ECG", "electrocardiogram")]),
        ("the heat shock protein 70 (HSP70) gene", [("HSP70", "heat shock protein 70")]),
        ("BP (blood pressure) rose.", [("BP", "blood pressure")]),
        ("It rose (see below) again (2019), and so on (e.g. here).", []),
        ("British oil (BP) fell.", []),
        ("unrelated words (XYZ)", []),
    ],
)
def test_what_parentheses_explain_is_read(text: str, found: list[tuple[str, str]]) -> None:
    assert list(definitions_in(text)) == found


def test_first_letter_must_begin_a_word() -> None:
    assert long_form("PA", "the spa") is None
    assert long_form("PA", "the physician assistant") == "physician assistant"


def test_meaning_that_documents_do_not_agree_on_is_not_used() -> None:
    agreed = ["blood pressure (BP)"] * 4 + ["base pair (BP)"]
    assert AbbreviationTable(agreed).meanings == {"BP": "blood pressure"}
    assert AbbreviationTable([*agreed, "base pair (BP)"]).meanings == {}
    glossary = [Entry(1, "blood pressure", "x", ("BP", "arterial tension"))]
    assert AbbreviationTable(["base pair (BP)"], glossary).meanings == {"BP": "blood pressure"}


def test_queries_are_written_out_and_short() -> None:
    known = Abbreviations({"BP": "blood pressure", "US": "ultrasound"})

    def variants(query: str) -> list[str]:
        return sorted(known.variants(query, random.Random(1)))

    assert variants("BP too high") == ["blood pressure too high"]
    assert variants("bp too high") == ["blood pressure too high"]
    assert variants("Blood pressure by US") == ["BP by US", "Blood pressure by ultrasound"]
    assert variants("what helps us") == []
