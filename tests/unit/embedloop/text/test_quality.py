import pytest

from embedloop.text.quality import rejection_of_source, rejection_of_text

PROSE = (
    "Gout is a disease of the joints that comes from crystals of uric acid. It begins at night, often in the "
    "big toe, and passes within a week. Colchicine helps early; allopurinol keeps the acid low for years."
)


@pytest.mark.parametrize("raw", ["%PDF-1.4 stream", "PK\x03\x04", "\x89PNG", "a\x00\x01\x02\x03b"])
def test_file_that_is_no_text_is_rejected_as_binary(raw: str) -> None:
    rejection = rejection_of_source(raw)
    assert rejection is not None
    assert rejection.code == "binary"


@pytest.mark.parametrize("raw", ["", PROSE, "a\tb\r\n\f", "Read the PDF"])
def test_text_is_not_binary(raw: str) -> None:
    assert rejection_of_source(raw) is None


@pytest.mark.parametrize(
    ("title", "text", "code"),
    [
        ("", " \n--- ", "empty"),
        ("", "TODO", "placeholder"),
        ("Draft", "Lorem ipsum dolor sit amet", "placeholder"),
        ("404", "The page you requested could not be found.", "error page"),
        ("", "Access denied", "error page"),
        ("", "Gout hurts", "too short"),
        ("", "\ufffd\ufffd é è ñ \ufffd and more", "garbled"),
        ("", "a" * 4000 + " b c", "repetitive"),
        ("", "click here " * 100, "repetitive"),
    ],
)
def test_what_no_search_should_find_is_rejected_with_its_reason(title: str, text: str, code: str) -> None:
    rejection = rejection_of_text(title, text)
    assert rejection is not None
    assert rejection.code == code


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Gout", "A painful arthritis."),
        ("", PROSE),
        ("", f"{PROSE} A request for a file that was not found is answered 404. {PROSE}"),
        ("", "1,2,3,4,5,6"),
        ("गठिया", "यह जोड़ों का एक दर्दनाक रोग है।"),
    ],
)
def test_what_says_something_stays(title: str, text: str) -> None:
    assert rejection_of_text(title, text) is None


def test_shortest_length_is_the_callers_choice() -> None:
    assert rejection_of_text("", "Gout", min_words=1) is None
    rejection = rejection_of_text("", PROSE, min_words=1000)
    assert rejection is not None
    assert "at least 1000" in rejection.detail
