"""Lines that a page shows on every visit and that say nothing about its subject."""

from __future__ import annotations

import re

from embedloop.text.cleaned import Removals

LONGEST_LINE_WORDS = 30

# Each alternative is a whole line but for its end; what is longer than 30 words is never taken for furniture.
_LINES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (rule, re.compile(pattern, re.IGNORECASE))
    for rule, pattern in (
        (
            "cookie notice",
            r"(?:this (?:web)?site|our (?:web)?site|we|they) uses? cookies\b.*|(?:accept"
            r"|reject|allow)(?: all)?(?: cookies)?"
            r"|manage (?:cookie )?(?:preferences|settings)|cookie (?:policy|settings|preferences)"
            r"|.*\bwhich cookies\b.*\b(?:store|set|allow)\b.*",
        ),
        ("advertisement", r"advertise?ments?\W*|sponsored(?: content| by)?\b.*|promoted content\b.*"),
        (
            "sharing and subscribing",
            r"(?:share|print|e-?mail|bookmark) (?:this|the) (?:page|article|post|story)\W*|follow us\b.*"
            r"|(?:subscribe|sign up) (?:to|for) (?:our|the)\b.*|was this (?:page|article"
            r"|information|answer) (?:helpful|useful)\b.*",
        ),
        (
            "related links",
            r"(?:you (?:may|might) also (?:like|be interested)|related (?:articles?|posts?"
            r"|pages?|links?|content|topics)"
            r"|(?:most|more) (?:read|popular|viewed)|recommended for you|see also)(?: this week| today)?\W*",
        ),
        (
            "copyright and legal links",
            r"(?:©|\(c\)|copyright\b).{0,10}\d{4}.{0,70}|.*\ball rights reserved\W*"
            r"|(?:privacy(?: policy| notice)?|terms(?: of (?:use|service))?|accessibility"
            r"|site ?map|imprint|legal notice|contact us"
            r"|disclaimer)(?:\s*[|·•/]\s*(?:[\w ]{2,30}))*\W*",
        ),
        (
            "page controls",
            r"(?:please )?(?:enable|turn on) javascript\b.*|skip to (?:main )?content\W*"
            r"|(?:back|return) to (?:the )?top\W*"
            r"|(?:log|sign) ?(?:in|out|up)\W*|(?:edit|improve) (?:this|on) (?:page|github)\W*"
            r"|table of contents\W*|toggle navigation\W*"
            r"|(?:previous|next)(?: page| article)?\s*[«»<>→←]*",
        ),
    )
)


def without_furniture(text: str, removals: Removals) -> str:
    """Drop cookie notices, adverts, sharing buttons, legal links and the like, line by line.

    >>> without_furniture("Gout hurts.\\nShare this page\\nIt passes.", Removals())
    'Gout hurts.\\nIt passes.'
    """
    kept = []
    for line in text.split("\n"):
        rule = _rule_of(line)
        if rule is None:
            kept.append(line)
        else:
            removals.note(rule, line)
    return "\n".join(kept)


def _rule_of(line: str) -> str | None:
    shown = line.strip(" \t*-_#>|")
    if not shown or len(shown) > 400 or len(shown.split()) > LONGEST_LINE_WORDS:
        return None
    return next((rule for rule, pattern in _LINES if pattern.fullmatch(shown)), None)
