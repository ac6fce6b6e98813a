from __future__ import annotations

import pytest

from embedloop.text.duplicates import shingles, similarity
from embedloop.text.quality import rejection_of_text
from embedloop.text.words import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("हिन्दी में दवा।", ["हिन्दी", "में", "दवा"]),
        ("क्\u200dया", ["क्या"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("mera BP high hai", ["mera", "BP", "high", "hai"]),
        ("e\u0301tude 3.5", ["e\u0301tude", "3", "5"]),
        ("?! …", []),
    ],
)
def test_words_of_any_script_are_whole(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_hindi_texts_that_differ_in_vowels_alone_are_no_duplicates() -> None:
    one, other = "काला मेला पानी", "कीली मोली पूनी"
    assert similarity(shingles(one), shingles(other)) == 0.0


def test_two_hindi_words_are_too_few_however_many_signs_they_have() -> None:
    rejection = rejection_of_text("", "हिन्दी में")
    assert rejection is not None
    assert rejection.detail.startswith("2 words")
