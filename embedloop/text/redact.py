"""Replace personal data before text is logged, trained on or, by policy, stored.

Patterns find candidates in time linear in the text; check digits, ranges and the words before them decide. What
looks like a statute, a dosage, a date or an ontology id stays: it names nobody, and the model needs it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from stdnum import iban, luhn

from embedloop.text.national_ids import (
    CUE_WORDS,
    CUED_NUMBER,
    NATIONAL_ID,
    end_of_cued_number,
    is_national_id,
    is_social_security_number,
)

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)

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

_BIRTH_DATE = re.compile(
    r"(?<![\w/.-])(?:"
    r"\d{1,2}([/.-])\d{1,2}\1(?:19|20)?\d{2}"
    r"|(?:19|20)\d{2}([/.-])\d{1,2}\2\d{1,2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{_MONTH},? (?:19|20)\d{{2}}"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}"
    r")(?![\w/-])",
    re.IGNORECASE,
)
_BIRTH_CUE = re.compile(
    r"(?:\b(?:born(?: on)?|birth ?da(?:te|y)|date of birth|d\.?o\.?b\.?|geb(?:oren"
    r"|urtsdatum|\.)(?: am)?|née? le"
    r"|fecha de nacimiento|data di nascita|data de nascimento)|जन्म ?(?:तिथि"
    r"|तारीख)?)(?: (?:is|was))?[ :,=(-]{0,3}$",
    re.IGNORECASE,
)

_RECORD = re.compile(r"(?<![\w.-])#?[A-Z]{0,3}-?\d(?:-?[\dA-Z]){4,13}(?![\w-])")
_RECORD_CUE = re.compile(
    r"\b(?:MRN|(?i:medical record|patient (?:id|identifier|number|no|file)"
    r"|hospital (?:id|number|no)|chart (?:number|no)"
    r"|health record|case file))(?i:(?: (?:number|no|nr|id))?(?: is)?)[ .:#=]{0,3}$"
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
    re.compile(r"(?<![\w.+/-])0?[6-9]\d{4}[ -]\d{5}(?![\w-])" + _UNIT),
)
_PHONE_NUMBER = re.compile(r"(?<!\w)(?!\d{4}-\d\d-\d\d)[(]?\d(?:[ ()./-]{0,2}\d){6,14}(?![\w-])")
_PHONE_CUE = re.compile(
    r"(?:\b(?:tele)?phone|\btel|\bmobile|\bcell|\bfax|\bwhatsapp|\bcall(?: me| us)?|फ़ोन|फोन|मोबाइल)"
    r"(?: ?(?:number|no|nr|at|on|is|नंबर)\b)*[.:#]{0,2} {0,2}$",
    re.IGNORECASE,
)


Mode = Literal["placeholder", "mask", "pseudonym"]

# Digits of a pseudonym as letters: no rule for numbers can ever take a pseudonym for personal data.
_LETTERS = str.maketrans("0123456789abcdef", "ghjkmnpqrstvwxyz")
_PSEUDONYM_HEX = 16
_GLUED = re.compile(r"[\]*][-./:+(]{0,2}\w|\w[-./:+(]{0,2}[\[*]")
_MAX_PASSES = 10
_CUE_CHARS = 40


class NameFinder(Protocol):
    """Finds names of persons."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each name, in order, without overlaps."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """Text without the personal data that was recognised, and how many items of each type were replaced."""

    text: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Rule:
    """`end` gives where the data ends that begins with the match; its start for a match that is none.

    A rule can only match in a text with seven digits in a row and little between them (`dense`), with `signs`
    times `sign`, and with one of the `words` (lower case), where it names any.
    """

    kind: str
    pattern: re.Pattern[str]
    end: Callable[[re.Match[str]], int]
    dense: bool = False
    sign: str = ""
    signs: int = 0
    words: tuple[str, ...] = ()


def redact(
    text: str, mode: Mode = "placeholder", *, key: bytes = b"", names: NameFinder | None = None
) -> Redacted:
    """Replace e-mail and IP addresses, IBANs, cards, national ids, phones, birth dates and record numbers.

    Cards must pass Luhn's check and an issuer's length, IBANs and national ids their check digits, social
    security numbers the ranges that are issued; birth dates and record numbers follow a word that says so.
    Doing it twice changes nothing.

    Args:
        text: Any text.
        mode: `placeholder` writes the type, `[EMAIL]`; `mask` a star for each letter and digit; `pseudonym`
            the type and 16 letters of an HMAC-SHA-256, `[EMAIL_kqzv...]`, equal for equal data under one key.
        key: The secret of the pseudonyms.
        names: Finds names of persons as well, under the type NAME.

    Returns:
        The text, and counts by type: EMAIL, IBAN, CARD, SSN, ID, DOB, MRN, IP, PHONE, NAME.

    Raises:
        ValueError: pseudonyms are wanted and there is no key.

    >>> redact("Write to ann@example.org, HP:0000118").text
    'Write to [EMAIL], HP:0000118'
    >>> redact("Ring +44 20 7946 0958.", "mask").text
    'Ring +** ** **** ****.'
    """
    if mode == "pseudonym" and not key:
        raise ValueError("pseudonyms need a key")
    counts: Counter[str] = Counter()

    def token(kind: str, value: str) -> str:
        counts[kind] += 1
        if mode == "placeholder":
            return f"[{kind}]"
        if mode == "mask":
            return "".join("*" if char.isalnum() else char for char in value)
        return f"[{kind}_{_pseudonym(value, key)}]"

    if names is not None:
        text = _replaced("NAME", text, names.spans(text), token)
    for _ in range(_MAX_PASSES):
        before, text = text, _pass(text, token)
        # What stood right beside a piece may have been hidden by it.
        if text is before or _GLUED.search(text) is None:
            break
    return Redacted(text, dict(counts))


def _pass(text: str, token: Callable[[str, str], str]) -> str:
    # A rule can only take digits away: those that could match at first are all that ever can.
    for rule in _rules_for(text):
        if spans := _spans(rule, text):
            text = _replaced(rule.kind, text, spans, token)
    return text


def _rules_for(text: str) -> Iterator[_Rule]:
    """The rules that can match at all: most queries hold neither an @ nor digits enough."""
    if "@" in text:
        yield _ADDRESS
    if _FOUR_DIGITS.search(text) is None:
        if text.count(":") > 1:
            yield _IP_VERSION_6
        return
    lower = text.lower()
    for rule in _NUMBERS if _SEVEN_DIGITS.search(text) else _SPARSE_NUMBERS:
        if rule.signs and text.count(rule.sign) < rule.signs:
            continue
        if not rule.words or _holds_one(lower, rule.words):
            yield rule


def _holds_one(text: str, words: tuple[str, ...]) -> bool:
    # On the path of every search: a loop costs a third of any() over a generator.
    for word in words:  # noqa: SIM110
        if word in text:
            return True
    return False


def _spans(rule: _Rule, text: str) -> list[tuple[int, int]]:
    spans = []
    for match in rule.pattern.finditer(text):
        start, end = match.start(), rule.end(match)
        if end > start:
            spans.append((start, end))
    return spans


def _replaced(kind: str, text: str, spans: list[tuple[int, int]], token: Callable[[str, str], str]) -> str:
    pieces, done = [], 0
    for start, end in spans:
        pieces += [text[done:start], token(kind, text[start:end])]
        done = end
    return "".join(pieces) + text[done:]


def _pseudonym(value: str, key: bytes) -> str:
    """Letters alone; how a number is written, and the case of an address, make no other person of it."""
    plain = re.sub(r"[\s()./-]", "", value) if any(map(str.isdigit, value)) and "@" not in value else value
    digest = hmac.new(key, plain.casefold().encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return digest[:_PSEUDONYM_HEX].translate(_LETTERS)


def _whole(match: re.Match[str]) -> int:
    return match.end()


def _whole_if(holds: Callable[[re.Match[str]], bool]) -> Callable[[re.Match[str]], int]:
    return lambda match: match.end() if holds(match) else match.start()


def _whole_after(cue: re.Pattern[str]) -> Callable[[re.Match[str]], int]:
    def end(match: re.Match[str]) -> int:
        before = match.string[max(0, match.start() - _CUE_CHARS) : match.start()]
        return match.end() if cue.search(before) else match.start()

    return end


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


_FOUR_DIGITS = re.compile(r"(?:\d\D*){4}")
_SEVEN_DIGITS = re.compile(r"\d(?:[ ()./-]{0,2}\d){6}")
_ADDRESS = _Rule("EMAIL", _EMAIL, _whole)
_IP_VERSION_6 = _Rule("IP", _IPV6, _whole_if(_is_ipv6), sign=":", signs=2)
_BIRTH_WORDS = (
    "born",
    "birth",
    "dob",
    "d.o.b",
    "d.ob",
    "do.b",
    "geb",
    "née",
    "né ",
    "nacim",
    "nascit",
    "nascim",
    "जन्म",
)
_RECORD_WORDS = ("mrn", "medical", "patient", "hospital", "chart", "health", "case file")
_PHONE_WORDS = ("phone", "tel", "mobile", "cell", "fax", "whatsapp", "call", "फ़ोन", "फोन", "मोबाइल")
_NUMBERS = (
    _Rule("IBAN", _IBAN, _end_of_iban),
    _Rule("CARD", _CARD, _whole_if(_is_card), dense=True),
    _Rule("SSN", _SSN, _whole_if(is_social_security_number), dense=True),
    _Rule("ID", NATIONAL_ID, _whole_if(is_national_id)),
    _Rule("ID", CUED_NUMBER, end_of_cued_number, dense=True, words=CUE_WORDS),
    _Rule("DOB", _BIRTH_DATE, _whole_after(_BIRTH_CUE), words=_BIRTH_WORDS),
    _Rule("MRN", _RECORD, _whole_after(_RECORD_CUE), words=_RECORD_WORDS),
    _Rule("IP", _IPV4, _whole_if(_is_ipv4), sign=".", signs=3),
    _IP_VERSION_6,
    *(_Rule("PHONE", pattern, _whole, dense=True) for pattern in _PHONES),
    _Rule("PHONE", _PHONE_NUMBER, _whole_after(_PHONE_CUE), dense=True, words=_PHONE_WORDS),
)
_SPARSE_NUMBERS = tuple(rule for rule in _NUMBERS if not rule.dense)
