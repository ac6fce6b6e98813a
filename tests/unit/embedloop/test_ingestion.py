from typing import Any

import pytest

from embedloop.errors import DocumentRejected
from embedloop.ingestion import prepare, pseudonym_key
from embedloop.policy import Policy
from embedloop.records.documents import NewDocument
from embedloop.text.cleaned import ContentType

KEY = pseudonym_key("secret")
HTML = "<html><nav>Home</nav><h1>Gout</h1><p>Gout is a disease. Write to ann@example.org about it.</p></html>"


def policy(**sections: Any) -> Policy:
    return Policy.model_validate(sections)


def document(text: str, title: str = "") -> NewDocument:
    return NewDocument("d", title, text, {"by": "ann@example.org"})


def test_plain_text_is_stored_as_it_was_sent_by_default() -> None:
    sent = document("  donâ€™t \r\n TODO ")
    made = prepare(sent, ContentType.TEXT, Policy(), key=KEY)
    assert made.document == sent
    assert made.account.removed == ()


def test_markup_is_cleaned_by_default() -> None:
    made = prepare(document(HTML), ContentType.HTML, Policy(), key=KEY)
    assert (made.document.title, made.document.text[:18]) == ("Gout", "Gout is a disease.")
    assert [one.rule for one in made.account.removed] == ["navigation"]
    assert made.account.language == "en"


def test_nothing_is_cleaned_where_the_policy_is_off() -> None:
    made = prepare(document(HTML), ContentType.HTML, policy(cleaning={"documents": "off"}), key=KEY)
    assert made.document.text == HTML


def test_plain_text_is_cleaned_where_the_policy_wants_all() -> None:
    made = prepare(
        document("I donâ€™t know that "), ContentType.TEXT, policy(cleaning={"documents": "all"}), key=KEY
    )
    assert made.document.text == "I don’t know that"


def test_reject_is_refused_with_its_reason() -> None:
    with pytest.raises(DocumentRejected, match=r"'d' is kept out \(placeholder\)") as refused:
        prepare(document("<p>Loading...</p>"), ContentType.HTML, Policy(), key=KEY)
    assert (refused.value.reason, refused.value.field) == ("placeholder", "text")


def test_reject_is_stored_and_told_where_the_policy_only_tells() -> None:
    made = prepare(
        document("<p>Loading...</p>"), ContentType.HTML, policy(cleaning={"rejects": "tell"}), key=KEY
    )
    assert made.document.text == "Loading..."
    assert made.account.rejection is not None
    assert made.account.rejection.code == "placeholder"


def test_document_of_which_nothing_is_left_is_refused_whatever_the_policy() -> None:
    with pytest.raises(DocumentRejected, match="empty"):
        prepare(document("<script>x</script>"), ContentType.HTML, policy(cleaning={"rejects": "tell"}), key=KEY)


def test_language_that_the_policy_does_not_let_in_is_refused() -> None:
    with pytest.raises(DocumentRejected, match="language"):
        prepare(document(HTML), ContentType.HTML, policy(cleaning={"languages": ["de"]}), key=KEY)


@pytest.mark.parametrize("mode", ["placeholder", "mask", "pseudonym"])
def test_personal_data_is_redacted_by_policy_in_title_and_text_alone(mode: str) -> None:
    sent = document("Write to ann@example.org.", "ann@example.org")
    made = prepare(sent, ContentType.TEXT, policy(redaction=mode), key=KEY)
    assert "ann@example.org" not in made.document.title + made.document.text
    assert made.document.metadata == {"by": "ann@example.org"}
    assert made.account.redacted == {"EMAIL": 2}


def test_pseudonyms_differ_between_deployments() -> None:
    texts = {
        prepare(
            document("ann@example.org"),
            ContentType.TEXT,
            policy(redaction="pseudonym"),
            key=pseudonym_key(secret),
        ).document.text
        for secret in ("one", "other")
    }
    assert len(texts) == 2
