import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.text.redact import redact


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
