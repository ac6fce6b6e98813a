"""Replace personal data by typed placeholders before text is logged or trained on.

Patterns find candidates in time linear in the text; check digits and ranges decide. What looks like a
statute, a dosage, a date or an ontology id stays: it names nobody, and the model needs it.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stdnum import iban, luhn
from stdnum.us import ssn

_EMAIL = re.compile(r"(?<![\w.+-])[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")

_CARD = re.compile(
    r"(?<![\w.-])(?:"
    r"\d{13,19}"
    r"|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?"
    r"|\d{4}([ -])\d{6}\2\d{4,5}"
    r")(?![\w-])"
)
_CARD_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[068]\d{12}|35\d{14}|6\d{15,18}"
)

_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")

_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_NUMBERED_PART = re.compile(
    r"(?:§+|\b(?:sections?|sec\.?|art(?:icles?|\.)?|clauses?|chapters?|ch\.|rules?|para(?:graphs?|\.)?|"
    r"versions?|ver\.?|v\.?|release|ec))\s*$",
    re.IGNORECASE,
)
_ADDRESS_WORD = re.compile(r"\b(?:ip|ipv4|address|host|server)\W{0,3}(?:is )?$", re.IGNORECASE)

_UNIT = r"(?!\s*(?:mg|mcg|µg|μg|g|kg|ml|l|iu|mmol|mm|cm|%|units?|tablets?)\b)"
_PHONES = (
    re.compile(r"(?<![\w+.])\+\d(?:[ ()/-]{0,2}\d){6,14}(?![\w.]\d|\w)"),
    re.compile(
        r"(?<![\w.+/-])(?:1[-. ])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([-. ]))"
        r"[2-9]\d{2}(?(1)\1|[-. ])\d{4}(?![\w-])" + _UNIT
    ),
    re.compile(r"(?<![\w.+/-])[6-9]\d{4}[ -]\d{5}(?![\w-])" + _UNIT),
)
_PHONE_IN_CONTEXT = re.compile(
    r"(?P<word>(?:\b(?:tele)?phone|\btel|\bmobile|\bcell|\bfax|\bwhatsapp|\bcall(?: me| us)?|फ़ोन|फोन|मोबाइल)"
    r"(?: ?(?:number|no|nr|at|on|is|नंबर)\b)*[.:#]{0,2} {0,2})"
    r"(?P<number>(?!\d{4}-\d\d-\d\d)[(]?\d(?:[ ()./-]{0,2}\d){6,14})(?![\w-])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Redacted:
    """Text without the personal data that was recognised, and how many items of each type were replaced."""

    text: str
    counts: Mapping[str, int]


def redact(text: str) -> Redacted:
    """Replace e-mail and IP addresses, IBANs, payment cards, US social security numbers and phone numbers.

    Cards must pass Luhn's check and an issuer's length, IBANs their check digits and the country's form,
    social security numbers the ranges that were ever issued. Doing it twice changes nothing.

    Args:
        text: Any text.

    Returns:
        The text with `[EMAIL]`, `[IBAN]`, `[CARD]`, `[SSN]`, `[IP]`, `[PHONE]`, and counts under these names.

    >>> redact("Write to ann@example.org, HP:0000118").text
    'Write to [EMAIL], HP:0000118'
    """
    counts: Counter[str] = Counter()

    def replaced(kind: str, pattern: re.Pattern[str], text: str, end_of: Callable[[re.Match[str]], int]) -> str:
        pieces, done = [], 0
        for match in pattern.finditer(text):
            end = end_of(match)
            if end > match.start():
                pieces += [text[done : match.start()], f"[{kind}]", text[end : match.end()]]
                done = match.end()
                counts[kind] += 1
        return "".join(pieces) + text[done:]

    text = replaced("EMAIL", _EMAIL, text, re.Match.end)
    text = replaced("IBAN", _IBAN, text, _end_of_iban)
    text = replaced("CARD", _CARD, text, _whole_if(_is_card))
    text = replaced("SSN", _SSN, text, _whole_if(lambda match: bool(ssn.is_valid(match[0]))))
    text = replaced("IP", _IPV4, text, _whole_if(_is_ipv4))
    text = replaced("IP", _IPV6, text, _whole_if(_is_ipv6))
    for pattern in _PHONES:
        text = replaced("PHONE", pattern, text, re.Match.end)

    def without_number(match: re.Match[str]) -> str:
        counts["PHONE"] += 1
        return match["word"] + "[PHONE]"

    text = _PHONE_IN_CONTEXT.sub(without_number, text)
    return Redacted(text, dict(counts))


def _whole_if(holds: Callable[[re.Match[str]], bool]) -> Callable[[re.Match[str]], int]:
    return lambda match: match.end() if holds(match) else match.start()


def _end_of_iban(match: re.Match[str]) -> int:
    """Find where the IBAN ends within a match that may have run into the words after it."""
    candidate = match[0]
    following = match.string[match.end() : match.end() + 1]
    for end in range(len(candidate), 14, -1):
        beyond = candidate[end] if end < len(candidate) else following
        if not beyond.isalnum() and iban.is_valid(candidate[:end]):
            return match.start() + end
    return match.start()


def _is_card(match: re.Match[str]) -> bool:
    digits = re.sub(r"\D", "", match[0])
    return _CARD_ISSUERS.fullmatch(digits) is not None and bool(luhn.is_valid(digits))


def _is_ipv4(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 20) : match.start()]
    # Contracts number clauses 3.2.13.1: without a three-digit part, only a word before it tells an address.
    telling = any(len(part) == 3 for part in match[0].split(".")) or _ADDRESS_WORD.search(before) is not None
    return telling and _NUMBERED_PART.search(before) is None and _is_address(match[0], ipaddress.IPv4Address)


def _is_ipv6(match: re.Match[str]) -> bool:
    groups = [group for group in match[0].split(":") if group]
    telling = len(groups) >= 2 and len(groups[0]) >= 3 and any(char.isdigit() for char in match[0])
    return telling and _is_address(match[0], ipaddress.IPv6Address)


def _is_address(text: str, form: Callable[[str], object]) -> bool:
    try:
        form(text)
    except ipaddress.AddressValueError:
        return False
    return True
