"""How a verification tells people what is wrong."""

from __future__ import annotations

import pytest

from embedloop.comparison import Checksum, Difference
from embedloop.errors import VerificationFailed
from embedloop.records.versions import FailedDocument
from embedloop.verification import Verification, _failure_reasons, _key_reasons, _told, require


def test_more_failures_than_are_named_are_counted() -> None:
    first = [FailedDocument("a", ("5f0c",), "RuntimeError: no"), FailedDocument("b", (), "InvalidInput: cut")]
    assert _failure_reasons(first, 9) == [
        "9 documents cannot be embedded: document 'a', passage 5f0c (RuntimeError: no); "
        "document 'b' (InvalidInput: cut); and 7 more"
    ]
    assert _failure_reasons([], 0) == []


def test_several_passages_of_a_document_are_told_together() -> None:
    told = _told(FailedDocument("d-7", ("5f0c", "77ab"), "RuntimeError: no"))
    assert told == "document 'd-7', passages 5f0c, 77ab (RuntimeError: no)"


def test_rows_that_came_twice_are_told() -> None:
    seen = Checksum()
    seen.add(b"\0" * 16)
    (reason,) = _key_reasons(Difference(0, 0, 1), Checksum(), seen)
    assert reason == "0 expected keys are absent, 0 are unexpected, 1 came twice"
    assert _key_reasons(Difference(0, 0, 0), Checksum(), Checksum()) == []


def test_a_version_that_failed_is_named_with_every_reason() -> None:
    found = Verification(1, 2, "", "", 0, 1, 0, [], 2, 0, None, None, None, ["one thing", "another"])
    with pytest.raises(VerificationFailed, match="iv-1 is not what it must be: one thing; another"):
        require(found, "iv-1")
