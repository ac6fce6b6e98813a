"""Plain text of a web page."""

from __future__ import annotations

import html as entities
import re

from embedloop.errors import MissingExtra
from embedloop.text.normalise import clean_text

_PAGE = re.compile(r"<html[\s>]", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]{0,2000})", re.IGNORECASE)


def text_from_html(html: str) -> tuple[str, str]:
    """Take the title and the main text out of a page; navigation, scripts and boilerplate are left behind.

    Args:
        html: The page's source.

    Returns:
        Title and text, each "" when the page has none.

    Raises:
        MissingExtra: trafilatura is not installed.
    """
    try:
        import trafilatura
    except ImportError as error:
        raise MissingExtra("reading HTML needs trafilatura: pip install 'embedloop[ingest]'") from error
    # trafilatura takes whole pages only, so a fragment becomes one.
    whole = html if _PAGE.search(html) else f"<html><body>{html}</body></html>"
    page = trafilatura.bare_extraction(whole, include_comments=False, with_metadata=True)
    found = _TITLE.search(html)
    title = (page.title if page else None) or (entities.unescape(found[1]) if found else "")
    return clean_text(" ".join(title.split())), clean_text((page.text if page else None) or "")
