"""What a Milvus server can do, by its kind and version. Pure: the adapter asks, this holds the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from embedloop.errors import InvalidInput, Misconfigured
from embedloop.policy import IndexSettings

Version = tuple[int, int, int]


class ServerKind(StrEnum):
    LITE = "lite"
    MILVUS = "milvus"


class AliasedDrop(StrEnum):
    """What dropping a collection does that an alias points to."""

    REFUSED = "refused"
    TAKES_THE_ALIAS = "takes_the_alias"
    LEAVES_THE_ALIAS = "leaves_the_alias"


def _can(since: dict[str, Version], number: Version) -> frozenset[str]:
    return frozenset(name for name, first in since.items() if number >= first)


OLDEST: dict[ServerKind, Version] = {ServerKind.LITE: (3, 2, 0), ServerKind.MILVUS: (2, 3, 0)}
# Milvus Lite takes the names of other types too, and searches without an index then.
LITE_INDEX_TYPES = frozenset({"FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8", "AUTOINDEX"})
INDEX_TYPES_SINCE: dict[str, Version] = {
    "FLAT": (2, 3, 0),
    "HNSW": (2, 3, 0),
    "IVF_FLAT": (2, 3, 0),
    "IVF_SQ8": (2, 3, 0),
    "DISKANN": (2, 3, 0),
    "AUTOINDEX": (2, 3, 0),
    "HNSW_SQ": (2, 5, 0),
    "IVF_RABITQ": (2, 6, 0),
}
EVERYWHERE = LITE_INDEX_TYPES & _can(INDEX_TYPES_SINCE, OLDEST[ServerKind.MILVUS])
# Of dense vectors; all of them since long before the oldest that is supported.
METRIC_TYPES: dict[ServerKind, frozenset[str]] = {
    ServerKind.LITE: frozenset({"COSINE", "IP", "L2"}),
    ServerKind.MILVUS: frozenset({"COSINE", "IP", "L2"}),
}
# 16 bits and int8 are known from the documentation alone: no server of that age runs in the tests. Milvus 2.3
# takes float16 too, and lost rows or died of searches over it.
VECTOR_TYPES_SINCE: dict[str, Version] = {
    "float32": (2, 3, 0),
    "binary": (2, 3, 0),
    "float16": (2, 4, 0),
    "bfloat16": (2, 4, 0),
    "int8": (2, 6, 0),
}
LITE_VECTOR_TYPES = frozenset({"float32"})
EVERYWHERE_STORED = LITE_VECTOR_TYPES & _can(VECTOR_TYPES_SINCE, OLDEST[ServerKind.MILVUS])
BM25_SINCE: Version = (2, 5, 0)
FILTER_TEMPLATES_SINCE: Version = (2, 5, 0)
ITERATOR_TIMESTAMPS_SINCE: Version = (2, 5, 0)
UNORDERED_PAGES_SINCE: Version = (2, 4, 0)
ALIASED_DROP_REFUSED_SINCE: Version = (2, 5, 5)
MAX_DIMENSION = 32_768
_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the connected server can do.

    Attributes:
        kind: Milvus Lite, or the engine (standalone or cluster).
        version: As the server tells it, `2.6.4`.
        index_types: Values of `policy.index.index_type` that it can build.
        metric_types: Values of `policy.index.metric_type` that it can rank by.
        vector_types: Values of `policy.index.vector_type` that it can store.
        bm25: Sparse vectors that the server makes from text, and searches that fuse them with dense ones.
        filter_templates: Filters with placeholders, their values sent beside them.
        iterator_timestamps: Iterators over rows that read at a time which the server gives.
        max_dimension: Of a vector.
        aliased_drop: What becomes of an alias when its collection is dropped.
    """

    kind: ServerKind
    version: str
    index_types: frozenset[str]
    metric_types: frozenset[str]
    vector_types: frozenset[str]
    bm25: bool
    filter_templates: bool
    iterator_timestamps: bool
    max_dimension: int
    aliased_drop: AliasedDrop

    @property
    def lists_segments(self) -> bool:
        """Whether it tells which segments are loaded, and so when a finished index is in use."""
        return self.kind is ServerKind.MILVUS

    @property
    def orders_every_page(self) -> bool:
        """Whether a query with a limit takes the least keys, and not any rows unless an iterator asks."""
        number = _number(self.version)
        return self.kind is ServerKind.MILVUS and number is not None and number < UNORDERED_PAGES_SINCE

    @property
    def server(self) -> str:
        """The server in words: `Milvus 2.6.4`."""
        return in_words(self.kind, self.version)

    def require(self, settings: IndexSettings) -> None:
        """Raises InvalidInput, naming the field of the policy, for settings that this server cannot do."""
        self._require_one_of("index_type", settings.index_type, self.index_types)
        self._require_one_of("metric_type", settings.metric_type, self.metric_types)
        self._require_one_of("vector_type", settings.vector_type, self.vector_types)
        if settings.bm25 and not self.bm25:
            since = ".".join(map(str, BM25_SINCE[:2]))
            raise InvalidInput(
                f"policy.index.bm25: {self.server} cannot do BM25; Milvus can from {since}",
                field="policy.index.bm25",
            )

    def _require_one_of(self, name: str, value: str, able: frozenset[str]) -> None:
        if value not in able:
            raise InvalidInput(
                f"policy.index.{name}: {self.server} cannot do {value}; it can do {', '.join(sorted(able))}",
                field=f"policy.index.{name}",
            )

    def told(self) -> dict[str, Any]:
        """The capabilities as JSON."""
        return {
            "server": self.version,
            "kind": self.kind.value,
            "index_types": sorted(self.index_types),
            "metric_types": sorted(self.metric_types),
            "vector_types": sorted(self.vector_types),
            "bm25": self.bm25,
            "filter_templates": self.filter_templates,
            "iterator_timestamps": self.iterator_timestamps,
            "max_dimension": self.max_dimension,
            "aliased_drop": self.aliased_drop.value,
        }


def every_server_can(settings: IndexSettings) -> bool:
    """Whether no supported server lacks what these settings ask for, so that none needs to be asked."""
    return (
        settings.index_type in EVERYWHERE
        and all(settings.metric_type in able for able in METRIC_TYPES.values())
        and settings.vector_type in EVERYWHERE_STORED
        and not settings.bm25
    )


def server_of(reported: str) -> tuple[ServerKind, str]:
    """Kind and version from what a server reports.

    The suffix of the engine as a Python package says how it was packed; it is no Milvus Lite.

    >>> server_of("milvus_lite-3.2.2"), server_of("v2.3.5-lite")
    ((<ServerKind.LITE: 'lite'>, '3.2.2'), (<ServerKind.MILVUS: 'milvus'>, '2.3.5'))
    """
    kind = ServerKind.LITE if reported.startswith("milvus_lite") else ServerKind.MILVUS
    found = _NUMBERS.search(reported)
    return kind, found.group() if found else reported


def in_words(kind: ServerKind, version: str) -> str:
    """A server as people call it.

    >>> in_words(*server_of("v2.3.5-lite")), in_words(*server_of("milvus_lite-3.2.2"))
    ('Milvus 2.3.5', 'Milvus Lite 3.2.2')
    """
    return f"{'Milvus Lite' if kind is ServerKind.LITE else 'Milvus'} {version}"


def capabilities_of(kind: ServerKind, version: str) -> Capabilities:
    """The capabilities of a server; a version without numbers (a build of a branch) is trusted with the least.

    Raises:
        Misconfigured: the server is older than what is supported.
    """
    number = _number(version) or OLDEST[kind]
    if number < OLDEST[kind]:
        least = ".".join(map(str, OLDEST[kind][:2]))
        raise Misconfigured(f"{in_words(kind, version)} is too old: Embedloop needs {least} or later")
    if kind is ServerKind.LITE:
        return Capabilities(
            kind,
            version,
            LITE_INDEX_TYPES,
            METRIC_TYPES[kind],
            LITE_VECTOR_TYPES,
            bm25=True,
            filter_templates=False,
            iterator_timestamps=True,
            max_dimension=MAX_DIMENSION,
            aliased_drop=AliasedDrop.TAKES_THE_ALIAS,
        )
    refuses = number >= ALIASED_DROP_REFUSED_SINCE
    return Capabilities(
        kind,
        version,
        _can(INDEX_TYPES_SINCE, number),
        METRIC_TYPES[kind],
        _can(VECTOR_TYPES_SINCE, number),
        bm25=number >= BM25_SINCE,
        filter_templates=number >= FILTER_TEMPLATES_SINCE,
        iterator_timestamps=number >= ITERATOR_TIMESTAMPS_SINCE,
        max_dimension=MAX_DIMENSION,
        aliased_drop=AliasedDrop.REFUSED if refuses else AliasedDrop.LEAVES_THE_ALIAS,
    )


def _number(version: str) -> Version | None:
    found = _NUMBERS.search(version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None
