import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.text.redact import Mode, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to ann.o-hara+x@mail.example.co.uk.", "Write to [EMAIL]."),
        ("IBAN DE89 3704 0044 0532 0130 00 AND MORE", "IBAN [IBAN] AND MORE"),
        ("GB82WEST12345698765432", "[IBAN]"),
        ("card 4111 1111 1111 1111 exp 12/27", "card [CARD] exp 12/27"),
        ("3782-822463-10005", "[CARD]"),
        ("5555555555554444", "[CARD]"),
        ("SSN 536-90-4399.", "SSN [SSN]."),
        ("from 192.168.10.4:8080", "from [IP]:8080"),
        ("IP: 10.0.0.5", "IP: [IP]"),
        ("host 2001:db8::1", "host [IP]"),
        ("ring +44 20 7946 0958 today", "ring [PHONE] today"),
        ("+91 98765 43210", "[PHONE]"),
        ("(415) 555-2671 or 415-555-2671", "[PHONE] or [PHONE]"),
        ("call me on 9876543210", "call me on [PHONE]"),
        ("फ़ोन नंबर 9876543210", "फ़ोन नंबर [PHONE]"),
    ],
)
def test_personal_data_becomes_a_typed_placeholder(text: str, expected: str) -> None:
    assert redact(text).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "HP:0000118, ORPHA:558, OMIM:154700, MONDO:0007947",
        "42 U.S.C. 1395w-4(b)(1) and 45 CFR 164.512(e)",
        "Section 12.10.4.5 and § 10.20.30.40 apply; see 1.2.3.4",
        "3.2.13.1 Party B shall; hydroxylase (EC 1.14.16.2) and EC 3.4.21.100",
        "Regulation (EU) 2016/679, 1995-2003, on 2020-01-15 at 12:30:45",
        "call 2020-01-15 the deadline",
        "500 mg/5 ml, 250-500-1000 mg, 0.05 to 12.75 mmol/l",
        "PMID 12345678901, NCT01234567, ISBN 978-3-16-148410-0",
        "p = +1.2345678, ratio 1 234 567",
        "4111 1111 1111 1112",
        "000-12-3456",
        "DE88 3704 0044 0532 0130 00",
        "std::vector and fe::ed",
        "@handle and a @ b",
    ],
)
def test_words_of_the_domain_stay(text: str) -> None:
    assert redact(text).text == text
    assert redact(text).counts == {}


def test_counts_say_how_many_of_each_type_were_replaced() -> None:
    assert redact("a@b.org, c@d.org, 10.20.30.140").counts == {"EMAIL": 2, "IP": 1}


@given(st.text(alphabet=st.sampled_from("0123456789 +-().:@abcDE89"), max_size=60))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact(text).text
    assert redact(once).text == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("born 05/05/1958", "born [DOB]"),
        ("date of birth: 12 March 1990.", "date of birth: [DOB]."),
        ("DOB 1990-03-12", "DOB [DOB]"),
        ("Born on March 3rd, 1985 in Pune", "Born on [DOB] in Pune"),
        ("geboren am 3.4.1971", "geboren am [DOB]"),
        ("(MRN #9679524)", "(MRN [MRN])"),
        ("patient id: A-12345", "patient id: [MRN]"),
        ("098765 43297", "[PHONE]"),
    ],
)
def test_dates_and_numbers_after_a_cue_become_placeholders(text: str, expected: str) -> None:
    assert redact(text).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "on 05/05/1958 the law passed",
        "born in 1879",
        "PMID 9679524",
        "Blood pressure of 120-129/80-89 mmHg is called elevated.",
        "Take 500-600-1000 mg only as prescribed.",
        "The usual range is 150000-450000 per microliter.",
        "HLA-B27 (ICD-10 M45.9), p.Arg117His, 22q11.2, version 4.0.2.1",
        "patient no 3 of 12",
    ],
)
def test_dates_and_numbers_that_name_nobody_stay(text: str) -> None:
    assert redact(text).text == text


MIXED = "Ann, ann@example.org, +44 20 7946 0958, 4111 1111 1111 1111, MRN 9679524, 10.20.30.140"


def test_mask_keeps_the_form_and_no_letter_or_digit() -> None:
    assert redact("ring +44 20 7946 0958, a@b.org", "mask").text == "ring +** ** **** ****, *@*.***"


def test_pseudonym_is_equal_for_equal_data_under_one_key_alone() -> None:
    one, again, other = (redact("a@b.org", "pseudonym", key=key).text for key in (b"k", b"k", b"l"))
    assert one == again != other
    assert one.startswith("[EMAIL_")


def test_pseudonym_does_not_depend_on_how_a_number_is_written() -> None:
    forms = ("+44 20 7946 0958", "+44 20-7946-0958", "+442079460958")
    assert len({redact(f"at {form} now", "pseudonym", key=b"k").text for form in forms}) == 1


def test_pseudonym_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        redact("a@b.org", "pseudonym")


@pytest.mark.parametrize("mode", ["placeholder", "mask", "pseudonym"])
def test_counts_do_not_depend_on_the_mode(mode: Mode) -> None:
    assert redact(MIXED, mode, key=b"k").counts == {"EMAIL": 1, "PHONE": 1, "CARD": 1, "MRN": 1, "IP": 1}


PIECES = st.sampled_from(
    [
        *(
            "a@b.org",
            "MRN ",
            "NHS ",
            "born ",
            "phone ",
            "+44 20 7946 0958",
            "943 476 5919",
            "05/05/1958",
            "9679524",
        ),
        *("4111111111111111", "536-90-4399", "fe80::1", "10.20.30.140", "DE89370400440532013000"),
        *(" ", "-", "]", "[", "1", "x", "."),
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


@given(TEXTS, st.sampled_from(["placeholder", "mask", "pseudonym"]))
def test_redacting_twice_changes_nothing_in_any_mode(text: str, mode: Mode) -> None:
    once = redact(text, mode, key=b"k").text
    assert redact(once, mode, key=b"k").text == once


@given(TEXTS)
def test_documents_with_pseudonyms_pass_the_redaction_of_training_unchanged(text: str) -> None:
    once = redact(text, "pseudonym", key=b"k").text
    assert redact(once).text == once
