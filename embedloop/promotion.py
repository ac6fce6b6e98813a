"""Promote and rollback: move a corpus to another index version, in every replica, with one winner."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from sqlalchemy import Connection

from embedloop.catalog import corpora, index_versions, models, promotions
from embedloop.catalog.database import Database, now
from embedloop.errors import Conflict, EmbedloopError, PromotionRefused, Unavailable
from embedloop.index import MilvusIndex
from embedloop.records.documents import Corpus
from embedloop.records.versions import IndexState, IndexVersion

log = logging.getLogger(__name__)

# Five heartbeats: a replica that was silent for so long is away, and learns of the promotion when it is back.
HEARD_WITHIN_SECONDS = 15.0
POLL_SECONDS = 0.1
ALIAS_PREFIX = "el_"


def alias_of(corpus: str) -> str:
    """The Milvus alias of a corpus, for clients outside the service.

    Milvus takes no dash; the spelling keeps `a-b` and `a_b` apart.

    >>> alias_of("papers"), alias_of("a-b"), alias_of("a_b")
    ('el_papers', 'el_a_db', 'el_a__b')
    """
    return ALIAS_PREFIX + corpus.replace("_", "__").replace("-", "_d")


def promote(
    database: Database,
    index: MilvusIndex,
    corpus: str,
    candidate: str,
    *,
    actor: str,
    timeout_seconds: float,
    pause: Callable[[float], None] = time.sleep,
    check: Callable[[], None] = lambda: None,
) -> Corpus:
    """Moves a corpus to `candidate`: prepare in every replica, publish in the catalog, move the alias.

    Args:
        database: The catalog.
        index: Milvus.
        corpus: Name.
        candidate: Index version id; its state must be ready or standby.
        actor: Who asked, for the record.
        timeout_seconds: How long the replicas have to load the candidate and the candidate to catch up.
        pause: Waits between two looks; replaced in tests.
        check: Asked before each wait until the candidate is published; what it raises calls the promotion off.

    Raises:
        PromotionRefused: unverified, against the gate, behind the serving version, or a replica was not ready
            in time. The serving version stays in charge.
        Conflict: another promotion is under way, or `candidate` serves already.
    """
    promotion_id = f"p-{uuid.uuid4().hex[:20]}"
    with database.write() as connection:
        before = corpora.get(connection, corpus, lock=True)
        _check(connection, before, index_versions.get(connection, candidate))
        token = corpora.next_promotion_token(connection, corpus)
        promotions.open_promotion(
            connection,
            promotion_id=promotion_id,
            corpus=corpus,
            candidate=candidate,
            replaces=before.serving,
            token=token,
            timeout_seconds=timeout_seconds,
            actor=actor,
        )

    def wait(seconds: float) -> None:
        check()
        pause(seconds)

    try:
        deadline = time.monotonic() + timeout_seconds
        _wait_prepared(database, corpus, candidate, deadline, wait)
        _publish(database, promotion_id, corpus, candidate, deadline, wait)
    except BaseException as error:
        _call_off(database, promotion_id, error)
        raise
    _move_alias(database, index, corpus)
    _wait_serving(database, corpus, candidate, deadline, pause)
    with database.read() as connection:
        return corpora.get(connection, corpus)


def rollback(
    database: Database,
    index: MilvusIndex,
    corpus: str,
    *,
    actor: str,
    timeout_seconds: float,
    pause: Callable[[float], None] = time.sleep,
) -> Corpus:
    """Moves a corpus back to the version that served before; it has followed the log, so no write is lost.

    Raises:
        PromotionRefused: there is none, or its rollback window has ended.
    """
    with database.read() as connection:
        previous = corpora.get(connection, corpus).previous
    if previous is None:
        raise PromotionRefused(f"corpus {corpus!r} has no version to roll back to", field="corpus")
    return promote(database, index, corpus, previous, actor=actor, timeout_seconds=timeout_seconds, pause=pause)


def reassert_alias(database: Database, index: MilvusIndex, corpus: str) -> None:
    """Makes the alias follow the catalog; reads the catalog again afterwards, for it may have moved."""
    while True:
        target = _serving_collection(database, corpus)
        if target is None:
            return
        if index.alias_target(alias_of(corpus)) != target:
            index.point_alias(alias_of(corpus), target)
        if _serving_collection(database, corpus) == target:
            return


def _call_off(database: Database, promotion_id: str, error: BaseException) -> None:
    """Says why; where even that fails, the reaper calls it off at its deadline."""
    try:
        with database.write() as connection:
            promotions.call_off(connection, promotion_id, str(error)[:2000] or type(error).__name__)
    except Unavailable as away:
        log.warning("promotion %s is called off at its deadline: %s", promotion_id, away)


def _move_alias(database: Database, index: MilvusIndex, corpus: str) -> None:
    """The promotion stands already: a Milvus that is away delays only the derived alias."""
    try:
        reassert_alias(database, index, corpus)
    except EmbedloopError as error:
        log.warning("the alias of corpus %s is left to the reconciler: %s", corpus, error)


def _serving_collection(database: Database, corpus: str) -> str | None:
    with database.read() as connection:
        serving = corpora.get(connection, corpus).serving
        return None if serving is None else index_versions.get(connection, serving).collection


def _check(connection: Connection, corpus: Corpus, candidate: IndexVersion) -> None:
    identity = candidate.index_version_id
    if candidate.corpus != corpus.name:
        raise PromotionRefused(
            f"index version {identity} belongs to another corpus than {corpus.name!r}", field="index_version"
        )
    if corpus.serving == identity:
        raise Conflict(f"index version {identity} serves already", field="index_version")
    if candidate.state not in (IndexState.READY, IndexState.STANDBY):
        raise PromotionRefused(
            f"index version {identity} must be ready or standby, it is {candidate.state.value}",
            field="index_version",
        )
    if candidate.verification is None or not candidate.verification["passed"]:
        raise PromotionRefused(f"index version {identity} is not verified", field="index_version")
    _check_failures(connection, corpus, candidate)
    if not _gate_allows(connection, corpus, candidate):
        raise PromotionRefused(
            f"model version {candidate.model_id} has not passed the gate on corpus {corpus.name!r}",
            field="index_version",
        )


def _check_failures(connection: Connection, corpus: Corpus, candidate: IndexVersion) -> None:
    """Documents that failed after the verification; a way back is never closed by them."""
    if corpus.serving is None or candidate.served_at is not None:
        return
    failed = index_versions.failures(connection, candidate.index_version_id)
    lacking = sorted(set(failed) - set(index_versions.failures(connection, corpus.serving)))
    if lacking:
        raise PromotionRefused(
            f"index version {candidate.index_version_id} lacks {len(lacking)} documents that the serving one "
            f"has, first {lacking[:5]}",
            field="index_version",
        )


def _gate_allows(connection: Connection, corpus: Corpus, candidate: IndexVersion) -> bool:
    """The gate compares models: one that serves, or served here before, has nothing to prove again."""
    if corpus.serving is None or candidate.served_at is not None:
        return True
    if index_versions.get(connection, corpus.serving).model_id == candidate.model_id:
        return True
    return models.passed_gate(connection, corpus.name, candidate.model_id)


def _wait_prepared(
    database: Database, corpus: str, candidate: str, deadline: float, pause: Callable[[float], None]
) -> None:
    """Every replica that was heard lately must have loaded and warmed the candidate."""
    while True:
        with database.read() as connection:
            heard = promotions.heard(connection, corpus, HEARD_WITHIN_SECONDS)
        late = [r.replica_id for r in heard if r.prepared != candidate and r.serving != candidate]
        if not late:
            return
        if time.monotonic() > deadline:
            raise PromotionRefused(f"replicas {late} were not ready for index version {candidate} in time")
        pause(POLL_SECONDS)


def _publish(
    database: Database,
    promotion_id: str,
    corpus: str,
    candidate: str,
    deadline: float,
    pause: Callable[[float], None],
) -> None:
    """The one moment of truth: a transaction that moves the catalog row, once the candidate is level."""
    while True:
        with database.write() as connection:
            current = corpora.get(connection, corpus, lock=True)
            version = index_versions.get(connection, candidate)
            _check(connection, current, version)
            behind = _behind(connection, current, version)
            if not behind:
                promotions.publish(connection, promotion_id)
                _move(connection, current, candidate)
                return
        if time.monotonic() > deadline:
            raise PromotionRefused(f"index version {candidate} is {behind} changes behind the serving one")
        pause(POLL_SECONDS)


def _behind(connection: Connection, corpus: Corpus, candidate: IndexVersion) -> int:
    if corpus.serving is None:
        return 0
    # Locked, so that no write is confirmed as applied by the old version between this look and the move.
    serving = index_versions.get(connection, corpus.serving, lock=True)
    return max(0, serving.applied_seq - candidate.applied_seq)


def _move(connection: Connection, corpus: Corpus, candidate: str) -> None:
    if corpus.serving is not None:
        index_versions.set_fields(connection, corpus.serving, state=IndexState.STANDBY.value, retired_at=None)
    index_versions.set_fields(connection, candidate, state=IndexState.SERVING.value, served_at=now())
    corpora.set_serving(connection, corpus.name, candidate, corpus.serving)


def _wait_serving(
    database: Database, corpus: str, candidate: str, deadline: float, pause: Callable[[float], None]
) -> None:
    """The promotion stands already; this only lets the caller's next search be answered by the candidate."""
    while time.monotonic() < deadline:
        with database.read() as connection:
            heard = promotions.heard(connection, corpus, HEARD_WITHIN_SECONDS)
        if all(replica.serving == candidate for replica in heard):
            return
        pause(POLL_SECONDS)
