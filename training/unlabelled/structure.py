"""Pairs that documents hold by themselves: title and passage, heading and section, sentence and passage."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from embedloop.errors import MissingExtra
from embedloop.lineage import SourceKind
from embedloop.recipe.sources import Structure, StructureKind
from training.unlabelled.cloze import cloze
from training.unlabelled.passages import CutDocument, Offer

_HEADING = re.compile(r"^ {0,3}(?:#{1,6}\s|=+\s*$|-+\s*$)", re.MULTILINE)
_MARKUP = re.compile(r"[*_`]+|\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the text below it, down to the next heading of any level."""

    heading: str
    body: str


def structure_offers(
    document: CutDocument, settings: Structure, first_passage: Callable[[str], str]
) -> list[Offer]:
    """The pairs of one document, at most `settings.max_pairs_per_document`, spread over the kinds.

    An anchor is never in the text that it asks for, but for the sentences that inverse cloze leaves there.

    Args:
        document: The document.
        settings: Which kinds, how many, and the seed.
        first_passage: Cuts a text as documents are cut, and gives the first passage.

    Raises:
        MissingExtra: There are headings and markdown-it-py is not installed.
    """
    generator = random.Random(f"{settings.seed}/{document.document_id}")
    by_kind: dict[StructureKind, Iterator[tuple[str, str]]] = {
        "title": _titles(document),
        "heading": _headings(document, first_passage, generator),
        "cloze": _clozes(document, generator),
    }
    waiting = {kind: by_kind[kind] for kind in dict.fromkeys(settings.kinds)}
    offers: list[Offer] = []
    while waiting and len(offers) < settings.max_pairs_per_document:
        for kind in list(waiting):
            pair = next(waiting[kind], None)
            if pair is None:
                del waiting[kind]
                continue
            source = f"{SourceKind.STRUCTURE}:{kind}:{document.document_id}"
            offers.append(Offer(pair[0], pair[1], document.document_id, source))
    return offers[: settings.max_pairs_per_document]


def sections_of(text: str) -> list[Section]:
    """The sections of a Markdown text; none where it has no headings.

    Raises:
        MissingExtra: There are headings and markdown-it-py is not installed.
    """
    if _HEADING.search(text) is None:
        return []
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        message = "reading headings needs markdown-it-py: pip install 'embedloop[training]'"
        raise MissingExtra(message) from error
    lines = re.split(r"\r\n|\r|\n", text)
    tokens = MarkdownIt("commonmark").parse(text)
    found = [
        (token.map, tokens[position + 1].content)
        for position, token in enumerate(tokens)
        if token.type == "heading_open" and token.map is not None and token.level == 0
    ]
    ends = [begins[0] for begins, _ in found[1:]] + [len(lines)]
    return [
        Section(_plain(heading), "\n".join(lines[own[1] : end]).strip())
        for (own, heading), end in zip(found, ends, strict=True)
    ]


def _titles(document: CutDocument) -> Iterator[tuple[str, str]]:
    if document.title.strip() and document.passages:
        yield document.title.strip(), _without(document.title, document.passages[0])


def _headings(
    document: CutDocument, first_passage: Callable[[str], str], generator: random.Random
) -> Iterator[tuple[str, str]]:
    sections = [one for one in sections_of(document.text) if one.heading and one.body]
    generator.shuffle(sections)
    title = document.title.strip()
    for one in sections:
        # "Dosage" alone asks for every document that has such a section.
        known = not title or one.heading.casefold() in title.casefold()
        yield one.heading if known else f"{title} {one.heading}", first_passage(one.body)


def _clozes(document: CutDocument, generator: random.Random) -> Iterator[tuple[str, str]]:
    passages: Sequence[str] = list(document.passages)
    for passage in generator.sample(passages, len(passages)):
        pair = cloze(document.title, passage, generator)
        if pair is not None:
            yield pair


def _without(title: str, passage: str) -> str:
    """The passage without a first line that only repeats the title."""
    first, _, rest = passage.strip().partition("\n")
    repeats = _plain(first.lstrip("# ")).casefold() == title.strip().casefold()
    return rest.strip() if repeats else passage.strip()


def _plain(heading: str) -> str:
    return " ".join(_MARKUP.sub(lambda match: match[1] or "", heading).split())
