from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from embedloop.difference_report import to_html, to_markdown

HOSTILE = "<script>alert(1)</script> | **x** [y](http://z)\n# heading"


def hit(document: str, title: str | None) -> dict[str, Any]:
    return {"document_id": document, "passage_id": "p", "score": 0.5, "title": title}


def report(**query: Any) -> dict[str, Any]:
    one = {
        "query": "who pays?",
        "critical": True,
        "change": 0.75,
        "before": [hit("a", "Lease"), hit("b", "Rent")],
        "after": [hit("c", "Costs"), hit("a", "Lease"), hit("d", None)],
    }
    return {
        "index_version": "iv-2",
        "against": "iv-1",
        "critical": 1,
        "recent": 9,
        "recent_changed": 4,
        "recent_mean_change": 0.123,
        "queries": [one | query],
    }


def test_markdown_sets_both_answers_side_by_side_and_marks_what_is_on_one_side_only() -> None:
    lines = to_markdown(report()).splitlines()
    assert lines[0] == r"# iv\-2 beside iv\-1"
    assert r"| 1 | Lease a 0\.500 | **Costs c 0\.500** |" in lines
    assert r"| 2 | **Rent b 0\.500** | Lease a 0\.500 |" in lines
    assert r"| 3 |  | **\(gone\) d 0\.500** |" in lines


def test_markdown_takes_no_orders_from_texts() -> None:
    told = to_markdown(report(query=HOSTILE, before=[hit("|", HOSTILE)], after=[]))
    assert "<script>" not in told.replace(r"\<script\>", "")
    rows = [line for line in told.splitlines() if line.startswith("| 1")]
    assert rows[0].replace(r"\|", "").count("|") == 4
    assert "\n# heading" not in told


def test_html_holds_texts_as_texts() -> None:
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)

    Reader().feed(to_html(report(query=HOSTILE, before=[hit('"><img>', HOSTILE)])))
    assert not {"script", "img", "a"} & set(tags)
    assert tags.count("td") == 6


def test_html_marks_what_is_new_and_what_is_gone() -> None:
    told = to_html(report())
    assert '<td class="gone">Rent b 0.500</td>' in told
    assert '<td class="new">Costs c 0.500</td>' in told
    assert "<td>Lease a 0.500</td>" in told
