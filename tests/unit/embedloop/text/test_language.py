import sys

import pytest

from embedloop.errors import MissingExtra
from embedloop.text import language
from embedloop.text.language import language_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The tenant may end the lease with three months of notice.", "en"),
        ("Der Mieter kann den Vertrag mit einer Frist von drei Monaten kündigen.", "de"),
        ("Le locataire peut résilier le bail avec un préavis de trois mois.", "fr"),
        ("किरायेदार तीन महीने की सूचना देकर पट्टा समाप्त कर सकता है।", "hi"),
    ],
)
def test_language_of_a_sentence_is_told(text: str, code: str) -> None:
    assert language_of(text) == code


@pytest.mark.parametrize("text", ["", "gout", "12345 67890 12345 67890 12345"])
def test_too_little_text_tells_nothing(text: str) -> None:
    assert language_of(text) is None


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    language._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[ingest\]"):
        language_of("The tenant may end the lease.")
