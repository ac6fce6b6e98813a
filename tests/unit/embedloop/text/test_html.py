import sys

import pytest

from embedloop.errors import MissingExtra
from embedloop.text.html import text_from_html

SENTENCE = "Gout is a disease of the joints that comes from crystals of uric acid, and it hurts a great deal."


def test_main_text_and_title_are_taken_and_scripts_left() -> None:
    title, text = text_from_html(
        "<html><head><title>Gout &amp; joints</title><script>track('x')</script></head>"
        f"<body><article><p>{SENTENCE}</p><p>{SENTENCE.upper()}</p></article></body></html>"
    )
    assert title == "Gout & joints"
    assert SENTENCE in text
    assert "track" not in text


def test_fragment_is_read_like_a_page() -> None:
    assert text_from_html(f"<p>{SENTENCE}</p>") == ("", SENTENCE)


@pytest.mark.parametrize("page", ["", "  \n", "<html></html>", "<!-- -->"])
def test_page_without_text_gives_empty_strings(page: str) -> None:
    assert text_from_html(page) == ("", "")


def test_missing_trafilatura_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[ingest\]"):
        text_from_html("<p>x</p>")
