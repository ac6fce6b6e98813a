import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.text.cleaned import EXAMPLE_CHARS, ContentType, Removals
from embedloop.text.cleaning import clean

BODY = "Gout is a disease of the joints that comes from crystals of uric acid. It hurts a great deal."
SOURCES = {
    ContentType.TEXT: f"{BODY}\r\n",
    ContentType.HTML: f"<html><title>Gout</title><nav>Home</nav><h1>Gout</h1><p>{BODY}</p></html>",
    ContentType.MAIL: f"Subject: Re: Gout\n\nDear all,\n\n{BODY}\n\n-- \nAnn",
    ContentType.MARKDOWN: f"---\nlayout: page\n---\n# Gout\n\n{BODY}\n\n[Top](#top) | [Edit](edit)",
}


@pytest.mark.parametrize("content_type", ContentType)
def test_every_content_type_gives_its_text_and_language(content_type: ContentType) -> None:
    cleaned = clean(SOURCES[content_type], content_type)
    assert (cleaned.text, cleaned.language, cleaned.rejection) == (BODY, "en", None)


@pytest.mark.parametrize("content_type", [ContentType.HTML, ContentType.MAIL, ContentType.MARKDOWN])
def test_title_comes_from_the_source_and_is_not_repeated_in_the_text(content_type: ContentType) -> None:
    assert clean(SOURCES[content_type], content_type).title == "Gout"


def test_title_of_the_sender_wins() -> None:
    assert clean(SOURCES[ContentType.HTML], ContentType.HTML, title=" The  disease ").title == "The disease"


def test_first_line_of_plain_text_stays_also_where_it_is_the_title() -> None:
    assert clean(f"Gout\n{BODY}", title="Gout").text == f"Gout\n{BODY}"


def test_language_that_is_not_let_in_is_a_rejection() -> None:
    cleaned = clean(BODY, languages=["de", "fr"])
    assert cleaned.rejection is not None
    assert cleaned.rejection.detail == "the text is in 'en', not in de, fr"
    assert clean("HP:0001997", languages=["de"], min_words=1).rejection is None


def test_binary_file_is_rejected_before_it_is_read() -> None:
    cleaned = clean("%PDF-1.4", ContentType.MAIL)
    assert cleaned.rejection is not None
    assert cleaned.rejection.code == "binary"


def test_removals_are_counted_by_rule_with_the_first_example() -> None:
    removals = Removals()
    for text in ("one", "  ", "x" * 500):
        removals.note("rule", text)
    [told] = removals.told()
    assert (told.items, told.chars, told.example) == (2, 503, "one")
    assert EXAMPLE_CHARS < 500


@given(st.text(max_size=300), st.sampled_from([ContentType.TEXT, ContentType.HTML, ContentType.MARKDOWN]))
def test_cleaning_the_result_as_plain_text_changes_nothing(raw: str, content_type: ContentType) -> None:
    once = clean(raw, content_type)
    again = clean(once.text, title=once.title)
    assert (again.title, again.text) == (once.title, once.text)
