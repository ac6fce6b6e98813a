"""Where training pairs come from: people's judgments, and what needs none of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from embedloop.frozen import Frozen

PairSource = Literal["judgments", "structure", "glossary", "generated"]
StructureKind = Literal["title", "heading", "cloze"]
GlossaryPath = Annotated[str, Field(max_length=1024, pattern=r"^/.+\.(jsonl|csv)$")]


class Structure(Frozen):
    """Pairs that documents hold by themselves.

    `title` asks with a document's title for its first passage, `heading` with a Markdown heading for its
    section, `cloze` with a sentence for the passage that it was taken out of. At most `max_pairs` documents are
    read, and as many pairs made. The same documents and `seed` give the same pairs.
    """

    kinds: Annotated[tuple[StructureKind, ...], Field(min_length=1, max_length=3)] = (
        "title",
        "heading",
        "cloze",
    )
    max_pairs_per_document: Annotated[int, Field(ge=1, le=100)] = 4
    max_pairs: Annotated[int, Field(ge=2, le=1_000_000)] = 20_000
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 13


class Generated(Frozen):
    """Queries that the language model of `EMBEDLOOP_LLM_URL` writes for some documents.

    A query is kept if a search for it finds its document among the first `within`.
    """

    queries_per_document: Annotated[int, Field(ge=1, le=20)] = 3
    max_documents: Annotated[int, Field(ge=1, le=100_000)] = 500
    within: Annotated[int, Field(ge=1, le=100)] = 10
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 13
