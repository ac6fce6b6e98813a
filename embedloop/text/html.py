"""Title and main text of a web page, without what surrounds them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from embedloop.errors import MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.furniture import without_furniture
from embedloop.text.normalise import clean_text

MOST_OF_THE_PAGE = 0.5
_LINKS_OF_A_MENU = 3
_LINK_SHARE_OF_A_MENU = 0.8
_MAX_TITLE_CHARS = 2_000

_CODE = ("script", "style", "template")
_TAGS = {
    "noscript": "page controls",
    "button": "page controls",
    "nav": "navigation",
    "footer": "footer",
    "aside": "sidebar",
    "dialog": "page controls",
    "form": "page controls",
    "small": "small print",
}
# Words in a class, id or role, whole or at the end of one (leftnav, topmenu).
_WORDS = {
    "navigation": "nav navbar navigation menu menubar topbar breadcrumb breadcrumbs pagination pager toolbar",
    "cookie notice": "cookie cookies consent gdpr",
    "footer": "footer colophon contentinfo",
    "sidebar": "sidebar complementary masthead",
    "advertisement": "ad ads advert adverts advertisement adslot sponsor sponsored promo promoted banner",
    "sharing and subscribing": "share sharing social newsletter subscribe subscription feedback",
    "related links": "related recommended recommendations",
    "page controls": "popup modal overlay login signup searchbox searchform",
}
_RULE_OF_WORD = {word: rule for rule, words in _WORDS.items() for word in words.split()}
_ENDINGS = ("nav", "menu", "breadcrumbs", "footer", "sidebar", "banner")
_CONTROL_REFERENCE = re.compile(
    r"&#(?:x0*(?:[0-8bcef]|1[0-9a-f]|7f|fff[ef]|d[89a-f]..)(?![0-9a-f])"
    r"|0*(?:[0-8]|1[124-9]|2\d|3[01]|127)(?!\d));?",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_MAX_NAMES_CHARS = 500
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_CONTENT_TAGS = frozenset({"html", "body", "main", "article", "head", "title", "h1", "h2", "h3", "p"})
_MENU_TAGS = frozenset({"ul", "ol", "div", "td", "tr", "table", "section", "p", "header"})


def text_from_html(html: str, removals: Removals | None = None) -> tuple[str, str]:
    """Take the title and the main text out of a page; navigation, scripts and boilerplate are left behind.

    Elements named or shaped like page furniture are cut out first, unless they hold most of the page's text;
    then trafilatura finds the content; then lines that are furniture by their words are dropped.

    Args:
        html: The page's source, or a fragment.
        removals: Where to count what was cut out.

    Returns:
        Title and text, each "" when the page has none.

    Raises:
        MissingExtra: trafilatura is not installed.
    """
    try:
        import trafilatura
    except ImportError as error:
        raise MissingExtra("reading HTML needs trafilatura: pip install 'embedloop[ingest]'") from error
    removals = Removals() if removals is None else removals
    tree = _tree(html)
    if tree is None:
        return "", ""
    title = _title(tree)
    _prune(tree, removals)
    _mark_content(tree)
    page = trafilatura.bare_extraction(tree, include_comments=False, with_metadata=False, favor_recall=True)
    text = (page.text if page else None) or ""
    return title, without_furniture(text, removals)


def _tree(html: str) -> Any:
    """Parse without entities from outside; None for what holds no element."""
    from lxml import etree
    from lxml.html import HTMLParser, document_fromstring

    # XML trees refuse control characters, written as such or as references.
    source = _CONTROL_REFERENCE.sub("", clean_text(html))
    # As bytes: a page that declares another charset was decoded by whoever sent it.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        return document_fromstring(source.encode(), parser=parser)
    except (etree.LxmlError, ValueError):
        return None


def _title(tree: Any) -> str:
    """The heading of the page where there is exactly one, or else its title."""
    headings = [text for text in map(_text_of, tree.iter("h1")) if text]
    titles = [text for text in map(_text_of, tree.iter("title")) if text]
    chosen = headings if len(headings) == 1 else titles or headings
    return chosen[0][:_MAX_TITLE_CHARS] if chosen else ""


def _mark_content(tree: Any) -> None:
    """Where no element says that it is the content, all that is left is; a guess could lose headings."""
    body = tree.find("body")
    if body is None or next(body.iter("article", "main"), None) is not None:
        return
    article = body.makeelement("article")
    article.text, body.text = body.text, None
    article.extend(list(body))
    body.append(article)


def _prune(tree: Any, removals: Removals) -> None:
    body = tree.find("body")
    root = tree if body is None else body
    for element in list(root.iter(*_CODE)):
        _cut("scripts and styles", element, removals)
    measured = _measured(root)
    most = MOST_OF_THE_PAGE * measured[root].chars
    gone: set[Any] = set()
    for element, size in measured.items():
        rule = "" if element is root else _rule_of(element, size)
        # Once a part is out, what is in it is out too; what holds most of the page is its content.
        if element.getparent() in gone:
            gone.add(element)
        elif rule and size.chars <= most:
            gone.add(element)
            removals.note(rule, _text_of(element))
    for element in gone:
        if element.getparent() not in gone:
            element.drop_tree()


@dataclass(slots=True)
class _Size:
    """Characters of an element's text, those of them that are linked, and how many links there are."""

    chars: int = 0
    linked: int = 0
    links: int = 0


def _measured(root: Any) -> dict[Any, _Size]:
    """Sizes of all elements, in document order, in one pass from the leaves up."""
    elements = [element for element in root.iter() if isinstance(element.tag, str)]
    sizes = {element: _Size() for element in elements}
    for element in reversed(elements):
        size = sizes[element]
        size.chars += len((element.text or "").strip())
        if element.tag == "a":
            size.linked, size.links = size.chars, 1
        above = sizes.get(element.getparent())
        if above is not None:
            above.chars += size.chars + len((element.tail or "").strip())
            above.linked += size.linked
            above.links += size.links
    return sizes


def _rule_of(element: Any, size: _Size) -> str:
    if element.tag in _TAGS:
        return _TAGS[element.tag]
    if element.get("hidden") is not None or _HIDDEN.search(element.get("style", "")):
        return "hidden"
    if element.tag == "font" and element.get("size") in ("1", "-1", "-2", "-3"):
        return "small print"
    if element.tag == "header" and next(element.iter("h1", "h2", "h3"), None) is None:
        return "navigation"
    if element.tag in _CONTENT_TAGS:
        return ""
    return "navigation" if _is_menu(element, size) else _rule_of_names(element)


def _is_menu(element: Any, size: _Size) -> bool:
    """Tell a list of links by the share of its text that is linked; prose with links in it has less."""
    linked = size.linked >= _LINK_SHARE_OF_A_MENU * size.chars
    return element.tag in _MENU_TAGS and size.links >= _LINKS_OF_A_MENU and linked


def _rule_of_names(element: Any) -> str:
    names = " ".join(filter(None, (element.get("class"), element.get("id"), element.get("role"))))
    for word in map(str.lower, _WORD.findall(names[:_MAX_NAMES_CHARS])):
        if word in _RULE_OF_WORD:
            return _RULE_OF_WORD[word]
        ending = next((ending for ending in _ENDINGS if word.endswith(ending)), None)
        if ending:
            return _RULE_OF_WORD[ending]
    return ""


def _cut(rule: str, element: Any, removals: Removals) -> None:
    if element.getparent() is not None:
        removals.note(rule, _text_of(element))
        element.drop_tree()


def _text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())
