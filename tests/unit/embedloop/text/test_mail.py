import sys
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.errors import InvalidInput, MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.mail import text_from_mail

BODY = "Gout comes from uric acid. It is treated with colchicine."


def mail(body: str, subject: str = "Re: Gout", **headers: str) -> str:
    lines = [f"Subject: {subject}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\n".join([*lines, "", body])


def read(raw: str) -> tuple[str, str, dict[str, str]]:
    removals = Removals()
    title, text = text_from_mail(raw, removals)
    return title, text.strip(), {one.rule: one.example for one in removals.told()}


@pytest.mark.parametrize(
    ("subject", "title"),
    [("Re: Gout", "Gout"), ("AW: WG: Gout", "Gout"), ("RE[2]: Gout", "Gout"), ("Refills", "Refills")],
)
def test_subject_without_reply_marks_is_the_title(subject: str, title: str) -> None:
    assert read(mail(BODY, subject))[0] == title


def test_headers_are_left_out_and_counted() -> None:
    _, text, removed = read(mail(BODY, From="Ann <ann@example.org>"))
    assert text == BODY
    assert removed["mail headers"] == "Subject: Re: Gout"


@pytest.mark.parametrize(
    "quoted",
    [
        "> What helps?\n> Thanks",
        "On Mon, 3 Jul 2023, Ann <ann@example.org> wrote:\n> What helps?",
        "-----Original Message-----\nFrom: Ann\nSent: Monday\nTo: Bob\nSubject: Gout\n\nWhat helps?",
    ],
)
def test_quoted_reply_is_left_out(quoted: str) -> None:
    _, text, removed = read(mail(f"{BODY}\n\n{quoted}"))
    assert text == BODY
    assert "quoted replies" in removed


def test_answers_below_a_quote_stay() -> None:
    _, text, _ = read(mail(f"On Mon, 3 Jul 2023, Ann <ann@example.org> wrote:\n> What helps?\n\n{BODY}"))
    assert text == BODY


def test_forwarded_message_is_content() -> None:
    forwarded = f"---------- Forwarded message ----------\nFrom: Ann <a@b.org>\nSubject: Gout\n\n{BODY}"
    assert BODY in read(mail(forwarded, "Fwd: Gout"))[1]


@pytest.mark.parametrize(
    "signature",
    ["-- \nAnn Lee\nClinic", "Kind regards,\nAnn", "Mit freundlichen Grüßen\nAnn", "Sent from my phone"],
)
def test_signature_is_left_out(signature: str) -> None:
    _, text, removed = read(mail(f"{BODY}\n\n{signature}"))
    assert text == BODY
    assert "signature" in removed


def test_thanks_within_a_long_mail_is_no_signature() -> None:
    body = f"{BODY}\nThanks\n" + "\n".join(f"{number}. {BODY}" for number in range(20))
    assert read(mail(body))[1] == body


@pytest.mark.parametrize("greeting", ["Dear Ann,", "Hi all,", "Sehr geehrte Frau Lee,", "Hello"])
def test_greeting_is_left_out(greeting: str) -> None:
    _, text, removed = read(mail(f"{greeting}\n\n{BODY}"))
    assert text == BODY
    assert removed["greeting"] == greeting


def test_disclaimer_at_the_end_is_left_out_and_one_amid_the_text_stays() -> None:
    disclaimer = "This e-mail is confidential and intended only for the addressee."
    assert read(mail(f"{BODY}\n{disclaimer}"))[1] == BODY
    long = "\n".join([disclaimer, *[BODY] * 30])
    assert disclaimer in read(mail(long))[1]


def test_html_part_is_read_where_there_is_no_plain_one() -> None:
    message = EmailMessage()
    message["Subject"] = "Gout"
    message.set_content(f"<html><body><p>{BODY}</p></body></html>", subtype="html")
    assert read(message.as_string())[1] == BODY


def test_attachment_is_counted_and_left() -> None:
    message = EmailMessage()
    message["Subject"] = "Gout"
    message.set_content(BODY)
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="scan.pdf")
    _, text, removed = read(message.as_string())
    assert text == BODY
    assert removed["attachments"] == "scan.pdf"


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "no-such-charset"])
def test_text_that_json_made_utf8_is_read_whatever_the_header_says(charset: str) -> None:
    raw = mail("Schmerz für Ärzte.", **{"Content-Type": f"text/plain; charset={charset}"})
    assert read(raw)[1] == "Schmerz für Ärzte."


def test_body_in_another_charset_is_decoded() -> None:
    message = EmailMessage()
    message["Subject"] = "Gicht"
    message.set_content("Schmerz für Ärzte.", charset="iso-8859-1")
    assert read(message.as_string())[1] == "Schmerz für Ärzte."


def test_text_without_headers_is_refused() -> None:
    with pytest.raises(InvalidInput, match="headers"):
        read("just a text")


def test_mail_of_more_parts_than_anybody_sends_is_refused() -> None:
    part = "--b\nContent-Type: text/plain\n\nx\n"
    with pytest.raises(InvalidInput, match="parts"):
        read("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + part * 1_100 + "--b--\n")


@given(st.text(alphabet=st.sampled_from('ab:=;/-\n> "é\r\t'), max_size=300))
def test_any_mail_is_read_or_refused(raw: str) -> None:
    title, text = text_from_mail(f"Subject: x\n{raw}", Removals())
    assert isinstance(title + text, str)


def test_missing_quotequail_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quotequail", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[ingest\]"):
        read(mail(BODY))
