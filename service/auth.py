"""Who asks: bearer keys, looked up by their hash, and what a key's role and corpora allow."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from embedloop.catalog import keys
from embedloop.catalog.database import Database
from embedloop.errors import Forbidden, NotFound, Unauthorised, Unavailable
from embedloop.records.service import ApiKey
from service.keyfiles import key_hash

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
AWAY_SECONDS = 1.0
MAX_REMEMBERED = 4096
_RANK = {"reader": 0, "writer": 1, "admin": 2}


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that was accepted.

    A `reader` searches and gives feedback, a `writer` also changes documents and judgments, an `admin` also
    changes corpora, jobs and what serves. A role that is not known counts as `reader`.
    """

    key: ApiKey

    @property
    def corpora(self) -> Sequence[str] | None:
        """The corpora that the key may see, None for all."""
        return self.key.corpora

    def require_corpus(self, name: str) -> str:
        """Raises NotFound for a corpus that the key may not see: it is not told that there is one."""
        if self.corpora is not None and name not in self.corpora:
            raise NotFound(f"there is no corpus {name!r}", field="corpus")
        return name

    def require_role(self, role: str) -> None:
        """Raises Forbidden when the key's role is below `role`."""
        if _RANK.get(self.key.role, 0) < _RANK[role]:
            raise Forbidden(f"this needs a key of role {role!r}, yours is {self.key.role!r}")


@dataclass(frozen=True, slots=True)
class _Remembered:
    key: ApiKey
    at: float


class KeyRing:
    """Looks keys up in the catalog and remembers them for a few seconds.

    While the catalog is away a key that was accepted before stays accepted for `grace_seconds`, as searches
    go on for as long as the replica's lease.
    """

    def __init__(self, database: Database, *, grace_seconds: float):
        self._database = database
        self._grace_seconds = grace_seconds
        self._remembered: dict[str, _Remembered] = {}
        self._away_until = 0.0

    async def caller(self, authorization: str | None) -> Caller:
        """Raises Unauthorised without a known key, Unavailable when the catalog cannot be asked."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorised("send your key as `Authorization: Bearer <key>`", field="Authorization")
        digest = key_hash(key.strip())
        known = self._remembered.get(digest)
        if known is not None and time.monotonic() - known.at < FRESH_SECONDS:
            return Caller(known.key)
        return Caller(await self._look_up(digest, known))

    async def _look_up(self, digest: str, known: _Remembered | None) -> ApiKey:
        usable = known is not None and time.monotonic() - known.at < self._grace_seconds
        if known is not None and usable and time.monotonic() < self._away_until:
            return known.key
        try:
            found = await run_in_threadpool(self._find, digest)
        except Unavailable as error:
            if known is None or not usable:
                raise
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("key %s stays accepted while the catalog is away: %s", known.key.key_id, error)
            return known.key
        if found is None:
            self._remembered.pop(digest, None)
            raise Unauthorised("this key is not known", field="Authorization")
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = _Remembered(found, time.monotonic())
        return found

    def _find(self, digest: str) -> ApiKey | None:
        with self._database.read() as connection:
            return keys.by_hash(connection, digest)
