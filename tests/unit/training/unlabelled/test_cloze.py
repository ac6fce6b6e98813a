from __future__ import annotations

import random

import pytest

from training.unlabelled.cloze import cloze, sentences_of


def test_the_rest_keeps_its_order_and_its_title() -> None:
    passage = "It hurts at night very much. Too short. Uric acid is its only cause."
    anchor, rest = cloze("Gout", passage, random.Random(1)) or ("", "")
    assert anchor in ("It hurts at night very much.", "Uric acid is its only cause.")
    assert rest == f"Gout\n{passage.replace(anchor, '').strip()}".replace("  ", " ")


@pytest.mark.parametrize("passage", ["", "One. Two. Three.", "Only one sentence of six words here."])
def test_passage_without_enough_sentences_asks_nothing(passage: str) -> None:
    assert cloze("Gout", passage, random.Random(1)) is None


def test_sentences_of_other_scripts_end_at_their_own_marks() -> None:
    assert list(sentences_of("यह दर्द है। रात में आता है।")) == ["यह दर्द है।", "रात में आता है।"]
    assert list(sentences_of("痛い。夜に来る。")) == ["痛い。", "夜に来る。"]
