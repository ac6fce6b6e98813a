"""Index versions, their cursors, placements and failures in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from embedloop.catalog.database import clock, now
from embedloop.catalog.dialect import insert_or_ignore, insert_or_update
from embedloop.catalog.documents import IDS_PER_STATEMENT
from embedloop.catalog.tables import apply_failures, documents, index_versions, placements, shards
from embedloop.errors import Conflict, LeaseLost, NotFound
from embedloop.policy import Chunking, IndexSettings
from embedloop.records.versions import FailedDocument, IndexState, IndexVersion, Placement
from embedloop.slices import slices

FOLLOWING = (IndexState.BUILDING, IndexState.READY, IndexState.SERVING, IndexState.STANDBY)


def add(connection: Connection, version: IndexVersion) -> None:
    """Raises Conflict when the corpus has a building version already."""
    try:
        connection.execute(
            insert(index_versions).values(
                index_version_id=version.index_version_id,
                corpus=version.corpus,
                model_id=version.model_id,
                collection=version.collection,
                state=version.state.value,
                chunking=version.chunking.model_dump(mode="json"),
                index_settings=version.index.model_dump(mode="json"),
                head=version.head,
                applied_seq=version.applied_seq,
                backfilled=version.backfilled,
                created_at=version.created_at,
            )
        )
    except IntegrityError as error:
        raise Conflict(f"corpus {version.corpus!r} has an index version in building", field="corpus") from error


def get(connection: Connection, index_version_id: str, *, lock: bool = False) -> IndexVersion:
    """An index version; with `lock` nobody moves its cursor until the transaction ends. Raises NotFound."""
    statement = select(index_versions).where(index_versions.c.index_version_id == index_version_id)
    if lock:
        statement = statement.with_for_update(key_share=True)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"there is no index version {index_version_id!r}", field="index_version")
    return _index_version(row)


def of_corpus(connection: Connection, corpus: str) -> list[IndexVersion]:
    """All versions of a corpus, the newest first."""
    statement = (
        select(index_versions)
        .where(index_versions.c.corpus == corpus)
        .order_by(index_versions.c.created_at.desc())
    )
    return [_index_version(row) for row in connection.execute(statement).mappings()]


def in_state(connection: Connection, *states: IndexState) -> list[IndexVersion]:
    statement = select(index_versions).where(index_versions.c.state.in_([s.value for s in states]))
    return [_index_version(row) for row in connection.execute(statement).mappings()]


def views(connection: Connection, corpus: str) -> list[IndexVersion]:
    """The versions that are not retired: those that follow the log, and one whose shards are being embedded."""
    return [v for v in of_corpus(connection, corpus) if v.state in FOLLOWING]


def followers(connection: Connection, corpus: str) -> list[IndexVersion]:
    """The versions whose applier follows the change log now."""
    return [v for v in views(connection, corpus) if v.backfilled]


def set_fields(connection: Connection, index_version_id: str, **values: Any) -> None:
    connection.execute(
        update(index_versions).where(index_versions.c.index_version_id == index_version_id).values(**values)
    )


def claim_applier(connection: Connection, index_version_id: str, lease_seconds: float) -> int | None:
    """Takes the applier's lease; returns its fencing token, or None while another applier holds it."""
    statement = (
        update(index_versions)
        .where(
            index_versions.c.index_version_id == index_version_id,
            index_versions.c.applier_lease_until < clock(),
            index_versions.c.backfilled,
            index_versions.c.state.in_([s.value for s in FOLLOWING]),
        )
        .values(applier_token=index_versions.c.applier_token + 1, applier_lease_until=clock() + lease_seconds)
        .returning(index_versions.c.applier_token)
    )
    token = connection.execute(statement).scalar_one_or_none()
    return None if token is None else int(token)


def renew_applier(connection: Connection, index_version_id: str, token: int, lease_seconds: float) -> None:
    """Renews (or with 0 gives back) the applier's lease. Raises LeaseLost when another applier has it."""
    statement = (
        update(index_versions)
        .where(index_versions.c.index_version_id == index_version_id, index_versions.c.applier_token == token)
        .values(applier_lease_until=clock() + lease_seconds if lease_seconds else 0)
    )
    if connection.execute(statement).rowcount != 1:
        raise LeaseLost(f"another applier follows index version {index_version_id}")


def advance(connection: Connection, index_version_id: str, token: int, old: int, new: int) -> None:
    """Moves the cursor by compare-and-set on the applier's token and the old value. Raises LeaseLost."""
    statement = (
        update(index_versions)
        .where(
            index_versions.c.index_version_id == index_version_id,
            index_versions.c.applier_token == token,
            index_versions.c.applied_seq == old,
        )
        .values(applied_seq=new)
    )
    if connection.execute(statement).rowcount != 1:
        raise LeaseLost(f"another applier moved the cursor of index version {index_version_id}")


def placements_of(
    connection: Connection, index_version_id: str, document_ids: Sequence[str]
) -> dict[str, list[Placement]]:
    """What the version may hold of these documents, by document."""
    found: dict[str, list[Placement]] = {}
    for part in slices(document_ids, IDS_PER_STATEMENT):
        statement = select(placements).where(
            placements.c.index_version_id == index_version_id, placements.c.document_id.in_(part)
        )
        for row in connection.execute(statement):
            placed = Placement(row.document_id, row.rev, row.passages, row.written)
            found.setdefault(row.document_id, []).append(placed)
    return found


def place(connection: Connection, index_version_id: str, placed: Sequence[Placement]) -> None:
    """Records what the version may hold (before its rows are sent) or holds (once they are written).

    A placement that is written stays written: of two workers on one shard, the slower one takes nothing back.
    """
    rows = [
        {
            "index_version_id": index_version_id,
            "document_id": p.document_id,
            "rev": p.rev,
            "passages": p.passages,
            "written": p.written,
        }
        for p in placed
    ]
    insert_or_update(connection, placements, [row for row in rows if row["written"]])
    insert_or_ignore(connection, placements, [row for row in rows if not row["written"]])


def unplace(connection: Connection, index_version_id: str, gone: Sequence[Placement]) -> None:
    """Forgets placements whose rows were deleted."""
    for part in slices(gone, IDS_PER_STATEMENT // 2):
        clauses = [and_(placements.c.document_id == p.document_id, placements.c.rev == p.rev) for p in part]
        connection.execute(
            delete(placements).where(placements.c.index_version_id == index_version_id, or_(*clauses))
        )


def iterate_placements(
    connection: Connection, index_version_id: str, *, size: int = 1000
) -> Iterator[list[tuple[Placement, bool]]]:
    """All placements in pages, each with whether it is of a live (document, rev)."""
    after = ("", 0)
    while True:
        statement = (
            select(
                placements.c.document_id,
                placements.c.rev,
                placements.c.passages,
                placements.c.written,
                documents.c.rev,
                documents.c.live,
            )
            .join_from(
                placements,
                index_versions,
                placements.c.index_version_id == index_versions.c.index_version_id,
            )
            .outerjoin(
                documents,
                and_(
                    documents.c.corpus == index_versions.c.corpus,
                    documents.c.document_id == placements.c.document_id,
                ),
            )
            .where(
                placements.c.index_version_id == index_version_id,
                # As one comparison, so that the database begins there in the primary key.
                tuple_(placements.c.document_id, placements.c.rev) > after,
            )
            .order_by(placements.c.document_id, placements.c.rev)
            .limit(size)
        )
        page = [
            (Placement(row[0], row[1], row[2], row[3]), bool(row[5]) and row[4] == row[1])
            for row in connection.execute(statement)
        ]
        if not page:
            return
        yield page
        after = (page[-1][0].document_id, page[-1][0].rev)


def passages(connection: Connection, index_version_id: str) -> int:
    """How many passages the version holds, by its placements."""
    statement = select(func.sum(placements.c.passages)).where(placements.c.index_version_id == index_version_id)
    return int(connection.execute(statement).scalar_one() or 0)


def retired(connection: Connection, corpus: str) -> list[IndexVersion]:
    """Retired versions whose collection has not been dropped yet."""
    statement = select(index_versions).where(
        index_versions.c.corpus == corpus,
        index_versions.c.state == IndexState.RETIRED.value,
        index_versions.c.dropped_at.is_(None),
    )
    return [_index_version(row) for row in connection.execute(statement).mappings()]


def mark_dropped(connection: Connection, index_version_id: str) -> None:
    """Forgets what a dropped collection held; the version itself stays, for the record."""
    for table in (placements, shards, apply_failures):
        connection.execute(delete(table).where(table.c.index_version_id == index_version_id))
    set_fields(connection, index_version_id, dropped_at=now())


def record_failure(
    connection: Connection,
    index_version_id: str,
    document_id: str,
    rev: int,
    reason: str,
    *,
    attempts: int = 1,
    passage_ids: Sequence[str] = (),
) -> None:
    row = {
        "index_version_id": index_version_id,
        "document_id": document_id,
        "rev": rev,
        "attempts": attempts,
        "reason": reason[:2000],
        "passage_ids": list(passage_ids),
        "at": now(),
    }
    insert_or_update(connection, apply_failures, [row])


def clear_failures(connection: Connection, index_version_id: str, document_ids: Sequence[str]) -> None:
    for part in slices(document_ids, IDS_PER_STATEMENT):
        connection.execute(
            delete(apply_failures).where(
                apply_failures.c.index_version_id == index_version_id, apply_failures.c.document_id.in_(part)
            )
        )


def failures(connection: Connection, index_version_id: str) -> dict[str, str]:
    """Documents that could not be applied: id -> reason."""
    statement = select(apply_failures.c.document_id, apply_failures.c.reason).where(
        apply_failures.c.index_version_id == index_version_id
    )
    return {row.document_id: row.reason for row in connection.execute(statement)}


def failed_documents(
    connection: Connection, index_version_id: str, document_ids: Sequence[str]
) -> list[FailedDocument]:
    """What is known of these failures, in order of id."""
    statement = (
        select(apply_failures.c.document_id, apply_failures.c.passage_ids, apply_failures.c.reason)
        .where(
            apply_failures.c.index_version_id == index_version_id,
            apply_failures.c.document_id.in_(document_ids),
        )
        .order_by(apply_failures.c.document_id)
    )
    return [FailedDocument(row[0], tuple(row[1]), row[2]) for row in connection.execute(statement)]


def absent_documents(
    connection: Connection, index_version_id: str, *, up_to_seq: int, named: int
) -> tuple[int, list[str]]:
    """Live documents, not changed after `up_to_seq`, that the version neither holds nor could not embed.

    Returns:
        How many there are, and the first `named` ids.
    """
    source = (
        index_versions.join(documents, documents.c.corpus == index_versions.c.corpus)
        .outerjoin(
            placements,
            and_(
                placements.c.index_version_id == index_versions.c.index_version_id,
                placements.c.document_id == documents.c.document_id,
                placements.c.rev == documents.c.rev,
                placements.c.written,
            ),
        )
        .outerjoin(
            apply_failures,
            and_(
                apply_failures.c.index_version_id == index_versions.c.index_version_id,
                apply_failures.c.document_id == documents.c.document_id,
            ),
        )
    )
    absent = and_(
        index_versions.c.index_version_id == index_version_id,
        documents.c.live,
        documents.c.rev <= up_to_seq,
        placements.c.document_id.is_(None),
        apply_failures.c.document_id.is_(None),
    )
    count = int(connection.execute(select(func.count()).select_from(source).where(absent)).scalar_one())
    first = (
        select(documents.c.document_id)
        .select_from(source)
        .where(absent)
        .order_by(documents.c.document_id)
        .limit(named)
    )
    return count, list(connection.execute(first).scalars())


def _index_version(row: RowMapping) -> IndexVersion:
    return IndexVersion(
        index_version_id=row["index_version_id"],
        corpus=row["corpus"],
        model_id=row["model_id"],
        collection=row["collection"],
        state=IndexState(row["state"]),
        chunking=Chunking.model_validate(row["chunking"], extra="ignore"),
        index=IndexSettings.model_validate(row["index_settings"], extra="ignore"),
        head=row["head"],
        applied_seq=row["applied_seq"],
        backfilled=row["backfilled"],
        verification=row["verification"],
        served_at=row["served_at"],
        retired_at=row["retired_at"],
        created_at=row["created_at"],
    )
