import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.errors import MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.markdown import text_from_markdown

BODY = "Gout is a disease of the joints."


def read(source: str) -> tuple[str, str, set[str]]:
    removals = Removals()
    title, text = text_from_markdown(source, removals)
    return title, text.strip(), {one.rule for one in removals.told()}


def test_front_matter_gives_the_title_and_goes() -> None:
    assert read(f'---\ntitle: "Gout"\nlayout: page\n---\n\n{BODY}') == ("Gout", BODY, {"front matter"})


def test_first_heading_is_the_title_without_its_marks() -> None:
    assert read(f"# *The* [gout](a.md) `guide` #\n\n{BODY}")[0] == "The gout guide"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("[![build](a.svg)](ci) ![cov](b.svg)", "images and badges"),
        ("[Back to top](#top) | [Edit this page](edit)", "navigation"),
        ("<!-- do not edit -->", "comments"),
        ("Share this page", "sharing and subscribing"),
    ],
)
def test_cruft_is_dropped_and_counted_by_its_rule(line: str, rule: str) -> None:
    _, text, removed = read(f"{BODY}\n\n{line}")
    assert (text, removed) == (BODY, {rule})


def test_anchor_in_a_heading_goes_and_the_heading_stays() -> None:
    assert read(f'## Causes<a name="s1"></a>\n\n{BODY}')[1] == f"## Causes\n\n{BODY}"


@pytest.mark.parametrize(
    "kept",
    [
        "See [uric acid](a.md) and [joints](b.md).",
        "[uric acid](a.md)",
        "An image ![crystal](c.png) within a sentence.",
        "| dose | mg |\n|---|---|\n| one | 5 |",
        "```html\n<!-- kept -->\n<a name=x>\nAdvertisement\n```",
        "* one\n* two",
    ],
)
def test_what_is_content_stays_as_it_is_written(kept: str) -> None:
    assert read(f"{BODY}\n\n{kept}")[1] == f"{BODY}\n\n{kept}"


def test_a_rule_in_the_text_is_no_front_matter() -> None:
    assert read(f"{BODY}\n\n---\n\n{BODY}")[1] == f"{BODY}\n\n---\n\n{BODY}"


@given(st.text(alphabet="#*[]()!<>-`~|\n ab&", max_size=200))
def test_any_text_is_read_without_an_error(source: str) -> None:
    assert isinstance("".join(text_from_markdown(source, Removals())), str)


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mdit_py_plugins.front_matter", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[ingest\]"):
        read(BODY)
