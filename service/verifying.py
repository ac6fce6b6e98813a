"""The catalog's last word on hits: one indexed lookup for a whole batch."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from embedloop.catalog import documents
from embedloop.catalog.database import Database
from embedloop.errors import Unavailable
from embedloop.records.documents import Hit

log = logging.getLogger(__name__)

# While the catalog stays away it is asked ever more seldom: each try may hold up a batch of searches.
FIRST_AWAY_SECONDS = 1.0
LAST_AWAY_SECONDS = 30.0


class Verifier:
    """Looks up which revs are live; while the catalog is away it is not asked for every batch."""

    def __init__(self, database: Database):
        self._database = database
        self._away_until = 0.0
        self._away_seconds = FIRST_AWAY_SECONDS

    def live_revs(self, found: Iterable[tuple[str, Sequence[Hit]]]) -> Mapping[str, Mapping[str, int]] | None:
        """For each corpus, document id -> live rev of the documents among its hits.

        Args:
            found: Corpus and hits of each query.

        Returns:
            None when the catalog does not answer.
        """
        wanted: dict[str, set[str]] = defaultdict(set)
        for corpus, hits in found:
            wanted[corpus].update(hit.passage.document_id for hit in hits)
        if time.monotonic() < self._away_until:
            return None
        try:
            live = {c: documents.look_up_live_revs(self._database, c, ids) for c, ids in wanted.items()}
        except Unavailable as error:
            self._away_until = time.monotonic() + self._away_seconds
            self._away_seconds = min(2 * self._away_seconds, LAST_AWAY_SECONDS)
            log.warning("answers go out unverified: %s", error)
            return None
        self._away_seconds = FIRST_AWAY_SECONDS
        return live
