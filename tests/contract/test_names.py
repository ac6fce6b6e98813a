"""The finder of names against Presidio and a spaCy model; skipped, with the reason, without them."""

from __future__ import annotations

import pytest

from embedloop.errors import MissingExtra
from embedloop.settings import Settings
from embedloop.text.names import PresidioNames, presidio_names
from embedloop.text.redact import redact

SENTENCE = "John Smith met Angela Merkel in Berlin on Tuesday to speak about gout."


@pytest.fixture(scope="module")
def names() -> PresidioNames:
    try:
        return presidio_names(Settings().names_model)
    except MissingExtra as error:
        pytest.skip(error.message)


def test_persons_are_found_and_places_are_not(names: PresidioNames) -> None:
    assert [SENTENCE[start:end] for start, end in names.spans(SENTENCE)] == ["John Smith", "Angela Merkel"]


def test_names_become_placeholders_beside_other_personal_data(names: PresidioNames) -> None:
    text = f"{SENTENCE} Write to john@example.org."
    redacted = redact(text, names=names)
    assert redacted.counts == {"NAME": 2, "EMAIL": 1}
    assert redacted.text.startswith("[NAME] met [NAME] in Berlin")


@pytest.mark.parametrize("mode", ["placeholder", "pseudonym"])
def test_redacting_names_twice_changes_nothing(names: PresidioNames, mode: str) -> None:
    once = redact(SENTENCE, mode, key=b"k", names=names).text  # type: ignore[arg-type]
    assert redact(once, mode, key=b"k", names=names).text == once  # type: ignore[arg-type]


def test_one_person_has_one_pseudonym(names: PresidioNames) -> None:
    first, second = (
        redact(f"{when}, John Smith came to the clinic.", "pseudonym", key=b"k", names=names).text
        for when in ("Yesterday", "Last week")
    )
    assert first.split("[")[1] == second.split("[")[1]
