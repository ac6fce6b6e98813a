"""Garbage in Milvus: collections that no index version needs, dropped only when nothing can use them."""

from __future__ import annotations

import logging

from embedloop.catalog import garbage
from embedloop.catalog.database import Database
from embedloop.index import MilvusIndex
from embedloop.promotion import ALIAS_PREFIX

log = logging.getLogger(__name__)


def note_orphans(database: Database, index: MilvusIndex, *, after_seconds: float) -> list[str]:
    """Finds this catalog's collections that no row knows: left by a crash, a late worker or an older backup.

    Args:
        database: The catalog.
        index: Milvus.
        after_seconds: How long they stay, so that a catalog restored from a wrong backup can be put right.

    Returns:
        The orphans that were found for the first time.
    """
    # Before the rows are read: a collection is made after its row, so that one listed here has its row there.
    listed = set(index.collections())
    with database.write() as connection:
        prefix = garbage.own_prefix(connection)
        known, before = garbage.in_use(connection), garbage.doomed(connection)
        orphans = {name for name in listed if name.startswith(prefix)} - known
        garbage.forget(connection, before & known | before - listed)
        garbage.doom(connection, orphans, after_seconds=after_seconds)
    found = sorted(orphans - before)
    if found:
        log.warning("no index version knows the collections %s: dropped in %g s", found, after_seconds)
    return found


def drop_due(database: Database, index: MilvusIndex) -> list[str]:
    """Drops the collections whose time has come; returns their names.

    Raises:
        Unavailable: Milvus or the catalog went away; what is left waits for the next time.
    """
    with database.read() as connection:
        collections = garbage.due(connection)
    return [name for name in collections if _drop_doomed(database, index, name)]


def drop_unless_aliased(index: MilvusIndex, collection: str) -> bool:
    """Drops a collection that no alias points to; says whether it did."""
    aliases = index.aliases(collection)
    if aliases:
        log.warning("collection %s is kept: the aliases %s point to it", collection, aliases)
        return False
    index.drop(collection)
    return True


def _drop_doomed(database: Database, index: MilvusIndex, collection: str) -> bool:
    if not index.exists(collection):
        dropped = True
    else:
        # Its corpus is gone, or serves from another collection: our own alias has no business here.
        for alias in filter(_is_ours, index.aliases(collection)):
            index.drop_alias(alias)
        dropped = drop_unless_aliased(index, collection)
    if dropped:
        with database.write() as connection:
            garbage.forget(connection, [collection])
        log.info("dropped the collection %s", collection)
    return dropped


def _is_ours(alias: str) -> bool:
    return alias.startswith(ALIAS_PREFIX)
