"""What the client answers with where plain JSON would not do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One passage of an answer; `rank` counts from 1, greater `score` is nearer.

    `rerank_score` (0..1 times the boosts, greater is more relevant) is there where a re-ranker scored it: such
    hits come first and are ordered by it.
    """

    rank: int
    score: float
    passage_id: str
    document_id: str
    title: str
    text: str
    metadata: Mapping[str, Any]
    rerank_score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One logged search; `retrieval_id` is what feedback refers to.

    `verified` is false when the catalog could not be asked whether the passages are still current;
    `raw` is the whole JSON as it came, with whatever `explain` added.
    """

    retrieval_id: str
    index_version: str
    model_version: str
    verified: bool
    results: tuple[SearchHit, ...]
    took_ms: Mapping[str, float]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> SearchResult:
        """Read the body of a search's answer."""
        names = set(SearchHit.__slots__)
        return cls(
            retrieval_id=body["retrieval_id"],
            index_version=body["index_version"],
            model_version=body["model_version"],
            verified=body["verified"],
            results=tuple(
                SearchHit(**{name: value for name, value in hit.items() if name in names})
                for hit in body["results"]
            ),
            took_ms=body["took_ms"],
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service takes requests, and what each part it stands on says; true when ready."""

    ready: bool
    checks: Mapping[str, Any]

    def __bool__(self) -> bool:
        return self.ready
