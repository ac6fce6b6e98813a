"""Subject and message of a mail, without headers, quoted replies, greetings, signatures and disclaimers."""

from __future__ import annotations

import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

from embedloop.errors import InvalidInput, MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.html import text_from_html

MAX_PARTS = 1_000
SIGNATURE_LINES = 15
_GREETING_WORDS = 8

_PREFIX = re.compile(r"^(?:\s*(?:re|fwd?|aw|wg|sv|vs|tr|rv)\s*(?:\[\d+\])?\s*:)+\s*", re.IGNORECASE)
_FORWARDED = re.compile(r"\s*(?:fwd?|wg|tr|rv|vs|enc|doorst)\s*:", re.IGNORECASE)
_GREETING = re.compile(
    r"(?:dear|hi|hello|hey|good (?:morning|afternoon|evening)|greetings|namaste|hallo"
    r"|liebe[rs]?|sehr geehrte[rs]?"
    r"|bonjour|cher|chère|hola|estimad[oa]s?|querid[oa]s?|ol[áa]|caro|cara|ciao|नमस्ते)\b[^.?:]{0,80}[,!:]?",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:(?:(?:kind|best|warm|many)(?:est)? )?(?:regards|wishes)|best|cheers"
    r"|(?:many )?thanks(?: (?:again|in advance|a lot))?"
    r"|thank you|(?:yours )?(?:sincerely|truly|faithfully)(?: yours)?|respectfully"
    r"|mit freundlichen gr[üu](?:ß|ss)en"
    r"|(?:viele|liebe|beste) gr[üu](?:ß|ss)e|cordialement|bien à vous"
    r"|saludos(?: cordiales)?|atentamente|cordiali saluti"
    r"|atenciosamente|धन्यवाद)[,.!]?",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"(?:sent|gesendet|envoyé|enviado|inviato) (?:from|von|depuis|desde|da|via)\b.{0,80}", re.IGNORECASE
)
_DISCLAIMER_CUES = tuple(
    re.compile(cue, re.IGNORECASE)
    for cue in (
        r"\bconfidential|vertraulich|confidentiel",
        r"\b(?:this|the) (?:e-?mail|message|communication|transmission)\b|\bdiese e-?mail\b|\bce message\b",
        r"\bintended (?:only |solely )?(?:for|recipients?)\b|\baddressees?\b|\bnamed recipients?\b",
        r"\b(?:any |and )attachments?\b",
        r"\b(?:unauthori[sz]ed|disseminat|disclos|distribut\w*|copying).{0,60}\bprohibited\b",
        r"\breceived (?:this|it) in error\b|\bnotify the sender\b|\bdelete it\b",
        r"\bconsider the environment\b.*\bprint",
        r"\bviruses?\b",
    )
)
_CUES_OF_A_DISCLAIMER = 2


def text_from_mail(raw: str, removals: Removals) -> tuple[str, str]:
    """Take the subject and what the sender wrote out of a mail (RFC 5322, MIME).

    The plain part is read, or else the HTML part. Replies below or between are kept, what they quote is not; a
    forwarded message is kept as content. Attachments are counted and left.

    Args:
        raw: The mail's source, headers first.
        removals: Where to count what was left out.

    Raises:
        InvalidInput: it has no header at all, or nests too deeply.
        MissingExtra: quotequail is not installed.
    """
    message = _parsed(raw)
    subject = _PREFIX.sub("", " ".join(str(message.get("Subject", "")).split()))
    for name, value in message.items():
        removals.note("mail headers", f"{name}: {value}")
    body = _body(message, removals)
    is_forwarded = _FORWARDED.match(str(message.get("Subject", ""))) is not None
    body = _without_quotes(body.replace("\r\n", "\n"), is_forwarded, removals)
    body = _without_disclaimers(body, removals)
    body = _without_signature(body, removals)
    return subject, _without_greeting(body, removals)


def _parsed(raw: str) -> EmailMessage:
    try:
        # As bytes: the parser of strings takes characters beyond ASCII for a broken transfer.
        message = message_from_bytes(raw.lstrip("\r\n").encode("utf-8", "replace"), policy=policy.default)
        parts = sum(1 for _ in message.walk())
    except RecursionError as error:
        raise InvalidInput("a mail nests its parts too deeply", field="text") from error
    if not message.keys():
        raise InvalidInput("a mail must begin with its headers (Subject: ...)", field="text")
    if parts > MAX_PARTS:
        raise InvalidInput(f"a mail holds at most {MAX_PARTS} parts, got {parts}", field="text")
    return message


def _body(message: EmailMessage, removals: Removals) -> str:
    part = message.get_body(("plain", "html"))
    for other in message.walk():
        if other is not part and not other.is_multipart() and other.get_content_disposition() == "attachment":
            removals.note("attachments", other.get_filename() or other.get_content_type())
    if part is None:
        return ""
    content = _content(part)
    return text_from_html(content, removals)[1] if part.get_content_subtype() == "html" else content


def _content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset("utf-8")
    # Whoever made JSON of the mail may have made UTF-8 of it as well, whatever its header says.
    for encoding in ("utf-8", charset):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("utf-8", "replace")


def _without_quotes(body: str, is_forwarded: bool, removals: Removals) -> str:
    """Mail programs introduce a reply and a forwarded message alike: the subject tells, or nothing above it."""
    try:
        import quotequail
    except ImportError as error:
        raise MissingExtra("reading mail needs quotequail: pip install 'embedloop[ingest]'") from error
    found = quotequail.unwrap(body)
    if found is not None and found["type"] == "forward" and (is_forwarded or not found.get("text_top")):
        parts = (found.get("text_top"), found.get("text"), found.get("text_bottom"))
        return "\n\n".join(part for part in parts if part)
    if found is not None:
        removals.note("quoted replies", found.get("text") or "")
        body = "\n\n".join(part for part in (found.get("text_top"), found.get("text_bottom")) if part)
    return _dropped(body.split("\n"), lambda line: line.startswith(">"), "quoted replies", removals)


def _dropped(lines: list[str], wrong: Callable[[str], bool], rule: str, removals: Removals) -> str:
    for line in filter(wrong, lines):
        removals.note(rule, line)
    return "\n".join(line for line in lines if not wrong(line))


def _without_disclaimers(body: str, removals: Removals) -> str:
    def is_disclaimer(line: str) -> bool:
        return sum(cue.search(line) is not None for cue in _DISCLAIMER_CUES) >= _CUES_OF_A_DISCLAIMER

    lines = body.split("\n")
    last = max((number for number, line in enumerate(lines) if line.strip()), default=0)
    # Only at the end: a sentence about confidential mail may be what the mail is about.
    first = next((n for n in range(max(0, last - SIGNATURE_LINES), last + 1) if is_disclaimer(lines[n])), None)
    if first is None:
        return body
    return "\n".join([*lines[:first], _dropped(lines[first:], is_disclaimer, "disclaimer", removals)])


def _without_signature(body: str, removals: Removals) -> str:
    """Cut at `-- ` (RFC 3676) or at a closing formula, where only a few short lines follow."""
    lines = body.rstrip().split("\n")
    for number in range(max(1, len(lines) - SIGNATURE_LINES), len(lines)):
        line = lines[number].strip()
        ends = line in ("--", "__") or _CLOSING.fullmatch(line) or _DEVICE.fullmatch(line)
        if ends and all(len(following) <= 120 for following in lines[number:]):
            removals.note("signature", "\n".join(lines[number:]))
            return "\n".join(lines[:number])
    return body


def _without_greeting(body: str, removals: Removals) -> str:
    lines = body.lstrip().split("\n")
    first = lines[0].strip()
    if _GREETING.fullmatch(first) and len(first.split()) <= _GREETING_WORDS and len(lines) > 1:
        removals.note("greeting", first)
        return "\n".join(lines[1:])
    return body
