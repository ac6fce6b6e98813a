from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cleaning, cleaning_score
from benchmarks.cleaning_score import Detection, personal_data, removal, replaced, visible_words
from embedloop.errors import InvalidInput

TEXT = "Gout is a disease of the joints that comes from crystals of uric acid, and it hurts a great deal."


def event(number: int, raw: str, **key: Any) -> dict[str, Any]:
    known = {"clean_text": TEXT, "boilerplate": [], "pii": [], "must_keep": [], "quality": "ok", "dup_of": None}
    head = {"_id": f"e{number}", "seq": number, "op": "upsert", "source_id": f"s{number}"}
    return head | {"content_type": "text/html", "raw": raw} | known | key


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    page = f"<html><nav>Menu of the site</nav><p>{TEXT}</p></html>"
    mail = {"content_type": "message/rfc822", "clean_text": "Ring +44 20 7946 0958 in the week."}
    events = [
        event(0, page, boilerplate=["Menu of the site"], must_keep=[TEXT]),
        event(1, page, dup_of="e0"),
        event(2, "<p>TODO</p>", quality="reject", clean_text=""),
        event(
            3,
            f"Subject: x\n\n{mail['clean_text']}",
            pii=[{"type": "phone", "value": "+44 20 7946 0958"}],
            **mail,
        ),
        event(4, f"<p>{TEXT} It passes.</p>", source_id="s0", update_of="e0"),
        {"_id": "e5", "seq": 5, "op": "delete", "source_id": "s0", "delete_of": "e0"},
    ]
    path = tmp_path / "docs.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in events)
    return path


def test_stream_is_counted_by_what_became_of_each_event(stream: Path, tmp_path: Path) -> None:
    cleaning.run(stream, tmp_path, None)
    report = json.loads((tmp_path / "cleaning.json").read_text())
    assert report["content"]["text/html"]["boilerplate_recall"] == 1.0
    assert report["personal_data"]["by_type"]["PHONE"]["true_positives"] == 1
    found = report["stream"]
    assert {name: found[name]["true_positives"] for name in ("duplicates", "rejects")} == {
        "duplicates": 1,
        "rejects": 1,
    }
    assert found["updates_applied"] == found["deletes_applied"] == {"right": 1, "of": 1}
    assert found["corpus_at_the_end"]["personal data: phone"] == {"left": 0, "of": 1}
    assert (tmp_path / "cleaning.png").read_bytes().startswith(b"\x89PNG")


def test_missing_stream_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="stream"):
        cleaning.read(tmp_path / "absent.gz")


def test_precision_and_recall_are_of_what_was_found_and_what_was_true() -> None:
    detection = Detection()
    for found, true in ((True, True), (True, False), (False, True), (False, True), (False, False)):
        detection.add(found, true)
    assert (detection.told()["precision"], detection.told()["recall"]) == (0.5, 0.3333)


def test_nothing_found_has_no_precision() -> None:
    assert Detection().told()["precision"] is None


def test_words_of_a_page_are_those_between_its_tags() -> None:
    assert visible_words("<p class=x>one <b>two</b></p>", "text/html") == Counter(["one", "two"])


def test_removed_content_counts_as_lost() -> None:
    assert removal(Counter("aabc"), Counter("ab"), Counter("aab")) == (2, 1)


def test_values_behind_neighbouring_placeholders_are_told_apart() -> None:
    before, after = "call 1 or a@b.org, then 22.", "call [PHONE] or [EMAIL], then [MRN]."
    assert list(replaced(before, after)) == [("PHONE", "1"), ("EMAIL", "a@b.org"), ("MRN", "22")]


def test_what_the_key_does_not_name_is_a_mistake() -> None:
    key = [{"type": "email", "value": "a@b.org"}, {"type": "person", "value": "Ann"}]
    judged = list(personal_data("Ann, a@b.org, 10.20.30.140", "Ann, [EMAIL], [IP]", key))
    assert judged == [("EMAIL", True, True), ("NAME", False, True), ("IP", True, False)]
    assert cleaning_score.Share().told() is None
