import pytest

from embedloop.text.redact import redact


@pytest.mark.parametrize(
    "number",
    [
        "111.444.777-35",
        "85.07.30-033.28",
        "756.9217.0769.85",
        "131052-308T",
        "811228-9874",
        "54362315K",
        "X-2482300W",
        "RSSMRA85T10A562S",
        "11010519491231002X",
        "2341 2341 2346",
        "2 95 10 99 126 111 93",
    ],
)
def test_number_of_a_telling_form_needs_no_word_before_it(number: str) -> None:
    assert redact(f"It is {number}, he said.").text == "It is [ID], he said."


@pytest.mark.parametrize(
    "text",
    [
        "NHS number: 943 476 5919",
        "SIN 123 456 782",
        "BSN 111222333",
        "PESEL 44051401359",
        "Aadhaar no. 234123412346",
        "national insurance... tax file number 123 456 782",
    ],
)
def test_bare_number_after_its_word_is_personal(text: str) -> None:
    assert redact(text).counts == {"ID": 1}


@pytest.mark.parametrize(
    "text",
    [
        "943 476 5919 units",
        "the sin 123 456 782",
        "NHS number: 943 476 5918",
        "12345678A",
        "811228-9873",
        "111.444.777-36",
        "150000-450000 per microliter",
        "RSSMRA85T10A562T",
    ],
)
def test_number_without_its_word_or_with_a_wrong_check_digit_is_no_id(text: str) -> None:
    assert "ID" not in redact(text).counts


def test_number_ends_where_the_next_begins() -> None:
    assert redact("NHS 943 476 5919 12").text == "NHS [ID] 12"


@pytest.mark.parametrize("number", ["900-70-1234", "970-88-4321", "536-90-4399"])
def test_social_security_and_taxpayer_numbers_that_are_issued_go(number: str) -> None:
    assert redact(f"SSN {number}").text == "SSN [SSN]"


def test_number_of_that_form_that_is_never_issued_stays() -> None:
    assert redact("000-12-3456, 900-10-1234").counts == {}


def test_number_whose_region_the_table_does_not_know_whole_is_no_id() -> None:
    assert redact("411111111111111111").counts.get("NATIONAL_ID", 0) == 0
