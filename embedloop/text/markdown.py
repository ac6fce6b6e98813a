"""Title and text of a Markdown page, still Markdown, without front matter, badges, anchors and navigation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedloop.errors import MissingExtra
from embedloop.text.cleaned import Removals
from embedloop.text.furniture import without_furniture

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_ANCHOR = re.compile(r"<a\s+(?:name|id)=[^>]{0,200}>(?:\s*</a>)?|</a>|<br\s*/?>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LINKS_OF_A_MENU = 2
_SEPARATORS = " \t\n|·•-/,"
_HEADING_TEXT = re.compile(r"[*_`]+|\[([^\]]*)\]\([^)]*\)")


def text_from_markdown(source: str, removals: Removals) -> tuple[str, str]:
    """Take the title and the text out of a page; headings, lists, tables and code stay as they are written.

    The title is that of the front matter, or the first heading of the first level. Paragraphs of nothing but
    images (badges, logos) or of nothing but several links (navigation) are left out.

    Args:
        source: CommonMark, with YAML front matter or without.
        removals: Where to count what was left out.

    Raises:
        MissingExtra: markdown-it-py or its plugins are not installed.
    """
    try:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.front_matter import front_matter_plugin
    except ImportError as error:
        message = "reading Markdown needs markdown-it-py and mdit-py-plugins: pip install 'embedloop[ingest]'"
        raise MissingExtra(message) from error
    tokens = MarkdownIt("commonmark").enable("table").use(front_matter_plugin).parse(source)
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    title = ""
    protected: set[int] = set()
    for position, token in enumerate(tokens):
        first, end = token.map or (0, 0)
        if token.type in ("fence", "code_block"):
            protected.update(range(first, end))
        elif token.type == "front_matter":
            found = _FRONT_TITLE.search(token.content)
            title = found[1].strip("\"'") if found else ""
            _blank("front matter", lines, first, end, removals)
        elif token.type == "heading_open" and token.tag == "h1" and not title:
            title = _plain_heading(tokens[position + 1].content)
        elif token.type == "inline" and (rule := _rule_of(token.children or ())):
            _blank(rule, lines, first, end, removals)
    return title, _without_html(lines, protected, removals)


def _rule_of(children: Sequence[Token]) -> str | None:
    """Name what a paragraph of images or of links alone is."""
    depth = images = links = 0
    for child in children:
        if child.type == "link_open":
            depth, links = depth + 1, links + 1
        elif child.type == "link_close":
            depth -= 1
        elif child.type == "image":
            images += 1
        elif depth == 0 and child.content.strip(_SEPARATORS) and child.type != "html_inline":
            return None
    if images:
        return "images and badges"
    return "navigation" if links >= _LINKS_OF_A_MENU else None


def _blank(rule: str, lines: list[str], first: int, end: int, removals: Removals) -> None:
    removals.note(rule, "\n".join(lines[first:end]))
    lines[first:end] = [""] * (end - first)


def _without_html(lines: list[str], protected: set[int], removals: Removals) -> str:
    """Drop comments, anchors and furniture everywhere but in code."""
    parts: list[str] = []
    prose: list[str] = []
    for number, line in enumerate([*lines, ""]):
        code = number in protected
        if (code or number == len(lines)) and prose:
            parts.append(_plain_prose("\n".join(prose), removals))
            prose = []
        if code:
            parts.append(line)
        elif number < len(lines):
            prose.append(line)
    return "\n".join(parts)


def _plain_prose(prose: str, removals: Removals) -> str:
    for rule, pattern in (("comments", _COMMENT), ("anchors", _ANCHOR)):
        for piece in pattern.finditer(prose):
            removals.note(rule, piece[0])
        prose = pattern.sub("", prose)
    return without_furniture(prose, removals)


def _plain_heading(source: str) -> str:
    return _ANCHOR.sub("", _HEADING_TEXT.sub(lambda match: match[1] or "", source)).strip()
