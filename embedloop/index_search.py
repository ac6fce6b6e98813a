"""Searches of one collection: by vectors, by words, and by both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pymilvus import AnnSearchRequest, RRFRanker

from embedloop.encoder import Vectors
from embedloop.fusion import EVEN, K, fuse
from embedloop.index_parameters import cosine_of, search_parameters
from embedloop.index_rows import FIELDS, as_hit
from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit
from embedloop.rescoring import candidates, is_coarse, rescored
from embedloop.vector_types import VECTOR_FIELD, finest_field, packed, unpacked

MAX_WINDOW = 16_384
_BY_WORDS = {"metric_type": "BM25"}


@dataclass(frozen=True, slots=True)
class Search:
    """Where to search, and how.

    Attributes:
        client: A `pymilvus.MilvusClient`.
        run: Runs a call of it, and loads the collection where a restart left it released.
        collection: Physical name.
        settings: Those that the collection was made with.
        filter_expression: From `embedloop.filters.expression`.
        reading: Consistency and timeout of each call.
    """

    client: Any
    run: Callable[[Callable[[], Any]], Any]
    collection: str
    settings: IndexSettings
    filter_expression: str
    reading: dict[str, Any]

    def nearest(self, vectors: Vectors, limit: int) -> list[list[Hit]]:
        """Hits by their cosine; those of a coarse index are taken in excess, scored again, and cut."""
        if not is_coarse(self.settings):
            score_of = partial(cosine_of, metric_type=self.settings.metric_type)
            return [[as_hit(hit, score_of) for hit in hits] for hits in self._near(vectors, limit, FIELDS)]
        vector_type, window = self.settings.vector_type, min(candidates(self.settings, limit), MAX_WINDOW)
        finest = finest_field(vector_type)
        found = self._near(vectors, window, [*FIELDS, finest])
        return [
            rescored(
                query,
                [as_hit(hit, float) for hit in hits],
                [unpacked(hit["entity"][finest], vector_type) for hit in hits],
                limit,
            )
            for query, hits in zip(vectors, found, strict=True)
        ]

    def fused(self, vectors: Vectors, words: Sequence[str], limit: int, weight: float) -> list[list[Hit]]:
        """The best by vectors and by words; Milvus fuses equal shares of what it need not score again."""
        if weight == EVEN and not is_coarse(self.settings):
            return [[as_hit(hit, float) for hit in hits] for hits in self._both(vectors, words, limit)]
        rows = zip(self.nearest(vectors, limit), self._matching(words, limit), strict=True)
        return [_fused(near, matching, weight)[:limit] for near, matching in rows]

    def _near(self, vectors: Vectors, limit: int, fields: list[str]) -> Any:
        asked = packed(vectors, self.settings.vector_type)
        return self._search(asked, VECTOR_FIELD, search_parameters(self.settings, limit), limit, fields)

    def _matching(self, words: Sequence[str], limit: int) -> list[list[Hit]]:
        found = self._search(list(words), "words", _BY_WORDS, limit, FIELDS)
        return [[as_hit(hit, float) for hit in hits] for hits in found]

    def _search(
        self, data: list[Any], field: str, parameters: dict[str, Any], limit: int, fields: list[str]
    ) -> Any:
        return self.run(
            partial(
                self.client.search,
                self.collection,
                data=data,
                anns_field=field,
                search_params=parameters,
                filter=self.filter_expression,
                limit=limit,
                output_fields=fields,
                **self.reading,
            )
        )

    def _both(self, vectors: Vectors, words: Sequence[str], limit: int) -> Any:
        near = search_parameters(self.settings, limit)
        asked = packed(vectors, self.settings.vector_type)
        requests = [
            AnnSearchRequest(asked, VECTOR_FIELD, near, limit, expr=self.filter_expression),
            AnnSearchRequest(list(words), "words", _BY_WORDS, limit, expr=self.filter_expression),
        ]
        search = self.client.hybrid_search
        return self.run(
            partial(
                search, self.collection, requests, RRFRanker(K), limit, output_fields=FIELDS, **self.reading
            )
        )


def _fused(near: Sequence[Hit], matching: Sequence[Hit], weight: float) -> list[Hit]:
    """One list of both, the best first; the score is that of the fusion."""
    passages = {hit.passage.passage_id: hit.passage for hit in (*near, *matching)}
    keys = [[hit.passage.passage_id for hit in hits] for hits in (near, matching)]
    return [Hit(passages[key], score) for key, score in fuse(keys[0], keys[1], weight)]
