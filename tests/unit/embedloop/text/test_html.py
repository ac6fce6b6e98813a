import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedloop.errors import MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.html import text_from_html

SENTENCE = "Gout is a disease of the joints that comes from crystals of uric acid, and it hurts a great deal."


def page(body: str, title: str = "Gout") -> str:
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>"


def rules(html: str) -> set[str]:
    removals = Removals()
    text_from_html(html, removals)
    return {removal.rule for removal in removals.told()}


def test_main_text_and_title_are_taken_and_scripts_left() -> None:
    title, text = text_from_html(
        "<html><head><title>Gout &amp; joints</title><script>track('x')</script></head>"
        f"<body><article><p>{SENTENCE}</p><p>{SENTENCE.upper()}</p></article></body></html>"
    )
    assert title == "Gout & joints"
    assert SENTENCE in text
    assert "track" not in text


def test_fragment_is_read_like_a_page() -> None:
    assert text_from_html(f"<p>{SENTENCE}</p>") == ("", SENTENCE)


@pytest.mark.parametrize(
    "html", ["", "  \n", "<html></html>", "<!-- -->", "<!doctype html>", "<?xml version='1.0'?>"]
)
def test_page_without_text_gives_empty_strings(html: str) -> None:
    assert text_from_html(html) == ("", "")


def test_the_only_heading_is_the_title_and_not_the_name_of_the_site() -> None:
    title, _ = text_from_html(page(f"<h1>Gout</h1><p>{SENTENCE}</p>", "Gout | Our clinic"))
    assert title == "Gout"


@pytest.mark.parametrize(
    ("element", "rule"),
    [
        ("<nav><a href='/'>Home</a></nav>", "navigation"),
        ("<div class='leftNav'>Topics</div>", "navigation"),
        ("<ul><li><a>One</a></li><li><a>Two</a></li><li><a>Three</a></li></ul>", "navigation"),
        ("<div id='cookie-banner'>We use cookies.</div>", "cookie notice"),
        ("<div role='contentinfo'>Imprint</div>", "footer"),
        ("<footer>Imprint</footer>", "footer"),
        ("<aside>Elsewhere</aside>", "sidebar"),
        ("<div class='ad-slot'>Buy it</div>", "advertisement"),
        ("<div class=share>Tell friends</div>", "sharing and subscribing"),
        ("<font size=1>Fine print</font>", "small print"),
        ("<div style='display: none'>Unseen</div>", "hidden"),
        ("<noscript>Enable JavaScript</noscript>", "page controls"),
    ],
)
def test_furniture_is_cut_out_and_counted_by_its_rule(element: str, rule: str) -> None:
    html = page(f"{element}<article><p>{SENTENCE}</p></article>{element}")
    assert text_from_html(html)[1] == SENTENCE
    assert rule in rules(html)


def test_element_with_most_of_the_page_is_content_whatever_its_name() -> None:
    assert SENTENCE in text_from_html(page(f"<div class='sidebar'><p>{SENTENCE}</p></div><p>Short.</p>"))[1]


def test_paragraph_with_links_in_it_is_no_menu() -> None:
    prose = f"{SENTENCE} See <a href=a>uric acid</a>, <a href=b>joints</a> and <a href=c>pain</a>."
    assert "uric acid" in text_from_html(page(f"<p>{prose}</p><p>{SENTENCE}</p>"))[1]


def test_headings_stay_where_no_element_says_that_it_is_the_content() -> None:
    _, text = text_from_html(page(f"<section class=page><h2>Causes</h2><p>{SENTENCE}</p></section>"))
    assert text.split("\n")[0] == "Causes"


def test_tail_after_a_part_that_was_cut_out_stays() -> None:
    _, text = text_from_html(page(f"<p>{SENTENCE} <button>OK</button>It passes in a week.</p>"))
    assert text.endswith("It passes in a week.")


@pytest.mark.parametrize("html", ["<div><button>" * 20_000, "<div><a href=#>x</a> <a>b</a> <a>c</a>" * 5_000])
def test_page_that_nests_without_end_is_read_all_the_same(html: str) -> None:
    title, text = text_from_html(html)
    assert title == ""
    assert len(text) < len(html)


@pytest.mark.parametrize("control", ["\x01", "&#1;", "&#x1f;", "&#xFFFE;", "\ud800"])
def test_control_characters_are_dropped_however_they_are_written(control: str) -> None:
    assert text_from_html(f"bare{control} text<p>{SENTENCE}")[1].split() == ["bare", "text", *SENTENCE.split()]


@given(st.text(alphabet="<>/abp \"'=&;-!", max_size=200))
def test_any_text_is_read_without_an_error(html: str) -> None:
    title, text = text_from_html(html)
    assert "\0" not in title + text


def test_missing_trafilatura_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[ingest\]"):
        text_from_html("<p>x</p>")
