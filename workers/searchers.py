"""Where hard negatives are looked for: first in what people were shown, then in the serving index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedloop.applier import View
from embedloop.catalog import feedback
from embedloop.slices import slices
from embedloop.text.normalise import query_key

QUERIES_PER_SEARCH = 64


@dataclass(frozen=True)
class LoggedThenIndex:
    """A `training.mining.Searcher`: logged answers cost nothing, the rest is searched."""

    view: View
    logged: Mapping[str, Sequence[tuple[str, float]]]

    @classmethod
    def of(cls, view: View) -> LoggedThenIndex:
        """Reads the answers that this version gave, by query key; the latest one counts."""
        if view.version.index.bm25:
            # Scores of fused answers are no cosines.
            return cls(view, {})
        with view.database.read() as connection:
            rows = feedback.shown_by(connection, view.version.corpus, view.version.index_version_id)
        # A re-ranker shows the nearest in another order.
        return cls(view, {query_key(query): sorted(shown, key=lambda hit: -hit[1]) for query, shown in rows})

    def search(self, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """Document ids with their cosine, the nearest first; each document once per query."""
        found = {query: list(self.logged.get(query_key(query), ())) for query in queries}
        missing = [query for query in found if not found[query]]
        for part in slices(missing, QUERIES_PER_SEARCH):
            found.update(zip(part, self._search(part, limit), strict=True))
        return [found[query][:limit] for query in queries]

    def _search(self, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        hits = self.view.index.search(
            self.view.version.collection,
            self.view.encoder.encode_queries(queries),
            limit,
            settings=self.view.version.index,
        )
        return [[(hit.passage.document_id, hit.score) for hit in row] for row in hits]
