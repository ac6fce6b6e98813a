"""Several writers at once, each a real thread with a transaction of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from embedloop import reembed
from embedloop.catalog import corpora, documents, feedback, index_versions, promotions
from embedloop.catalog.database import Database, now
from embedloop.corpus import put_documents
from embedloop.errors import Conflict
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.policy import Policy
from embedloop.promotion import _behind
from embedloop.records.documents import Change, NewDocument, Op
from embedloop.records.feedback import Retrieval
from embedloop.records.labels import Split
from embedloop.records.versions import IndexState, IndexVersion, Placement
from tests.patience import PATIENCE_SECONDS
from tests.unit.embedloop.catalog.conftest import CORPUS
from tests.unit.embedloop.catalog.threads import at_once, until_one_waits


def batch(ids: Sequence[str], text: str) -> list[NewDocument]:
    return [NewDocument(i, "", text) for i in ids]


def test_a_reader_of_the_log_skips_no_change_while_several_writers_commit(catalog: Database) -> None:
    writing = threading.Event()
    writing.set()

    def write(name: str) -> None:
        for n in range(25):
            # Batches of different sizes: the one that began first is often not the first to commit.
            size = 1 + (n * 7 + len(name)) % 9
            put_documents(catalog, CORPUS, batch([f"{name}-{n}-{i}" for i in range(size)], "x"))

    def follow() -> list[Change]:
        seen: list[Change] = []
        while True:
            last_look = not writing.is_set()
            with catalog.read() as connection:
                found = documents.changes_after(connection, CORPUS, seen[-1].seq if seen else 0, 1000)
            seen += found
            if last_look and not found:
                return seen

    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(follow)
        at_once(*(lambda name=name: write(name) for name in ("a", "bb", "ccc", "dddd")))  # type: ignore[misc]
        writing.clear()
        seen = follower.result(timeout=PATIENCE_SECONDS)
    with catalog.read() as connection:
        assert seen == documents.changes_after(connection, CORPUS, 0, 10_000)
    assert len({change.document_id for change in seen}) == len(seen) > 400


def test_a_change_on_postgresql_waits_for_the_one_with_the_lower_seq(on_postgresql: Database) -> None:
    with ThreadPoolExecutor(1) as pool:
        with on_postgresql.write() as connection:
            (first,) = documents.append_changes(connection, CORPUS, [("a", Op.DELETE, "")])
            later: Future[object] = pool.submit(put_documents, on_postgresql, CORPUS, batch(["b"], "x"))
            until_one_waits(on_postgresql, later)
            with on_postgresql.read() as reader:
                assert documents.changes_after(reader, CORPUS, 0, 10) == []
        later.result(timeout=PATIENCE_SECONDS)
    with on_postgresql.read() as reader:
        seen = documents.changes_after(reader, CORPUS, 0, 10)
    assert [(c.document_id, c.seq) for c in seen] == [("a", first), ("b", seen[1].seq)]
    assert seen[1].seq > first


def test_batches_of_the_same_documents_in_opposite_orders_all_succeed(catalog: Database) -> None:
    ids = [f"d{n:02}" for n in range(20)]

    def write(name: str, order: Sequence[str]) -> None:
        for n in range(10):
            put_documents(catalog, CORPUS, batch(order, f"{name} {n}"))

    at_once(lambda: write("up", ids), lambda: write("down", ids[::-1]))
    with catalog.read() as connection:
        texts = {document.text for document in documents.get_many(connection, CORPUS, ids).values()}
        revs = documents.live_revs(connection, CORPUS, ids)
        log = documents.changes_after(connection, CORPUS, 0, 10_000)
    assert texts in ({"up 9"}, {"down 9"})
    assert revs == {change.document_id: change.seq for change in log}


def test_placements_written_in_opposite_orders_all_succeed(
    catalog: Database, add_version: Callable[..., IndexVersion]
) -> None:
    add_version("one")
    ids = [f"d{n:03}" for n in range(100)]

    def place(order: Sequence[str], written: bool) -> None:
        for rev in range(15):
            with catalog.write() as connection:
                index_versions.place(connection, "one", [Placement(i, rev, 1, written) for i in order])

    at_once(*(lambda o=o, w=w: place(o, w) for o in (ids, ids[::-1]) for w in (True, False)))  # type: ignore[misc]
    with catalog.read() as connection:
        assert index_versions.passages(connection, "one") == 1500
        placed = index_versions.placements_of(connection, "one", ids)
    assert all(p.written for group in placed.values() for p in group)


def test_a_query_gets_one_split_from_imports_at_once(catalog: Database) -> None:
    with catalog.read() as connection:
        corpus = corpora.get(connection, CORPUS)
    queries = [f"query number {n}" for n in range(400)]

    def give(order: Sequence[str], split: Split) -> list[Conflict | None]:
        return import_judgments(catalog, corpus, [ImportedJudgment(q, "d", 1, split) for q in order])

    up, down = at_once(lambda: give(queries, Split.GOLDEN), lambda: give(queries[::-1], Split.TRAIN))
    accepted = [(one is None, other is None) for one, other in zip(up, down[::-1], strict=True)]
    assert set(accepted) <= {(True, False), (False, True)}


def test_policies_changed_at_once_lose_no_change(catalog: Database) -> None:
    def change(section: str, field: str, value: float) -> None:
        for _ in range(10):
            with catalog.write() as connection:
                present = corpora.get(connection, CORPUS, lock=True).policy.model_dump()
                present[section][field] = value
                corpora.set_policy(connection, CORPUS, Policy.model_validate(present))

    at_once(lambda: change("gate", "pool_size", 77), lambda: change("trigger", "min_pairs", 33))
    with catalog.read() as connection:
        policy = corpora.get(connection, CORPUS).policy
    assert (policy.gate.pool_size, policy.trigger.min_pairs) == (77, 33)


def test_of_two_promotions_at_once_one_is_told_of_the_other(catalog: Database) -> None:
    def begin(candidate: str) -> str:
        try:
            with catalog.write() as connection:
                corpora.get(connection, CORPUS, lock=True)
                promotions.open_promotion(
                    connection,
                    promotion_id=f"p-{candidate}",
                    corpus=CORPUS,
                    candidate=candidate,
                    replaces=None,
                    token=corpora.next_promotion_token(connection, CORPUS),
                    timeout_seconds=60,
                    actor="test",
                )
        except Conflict as error:
            return error.message
        return "began"

    outcomes = at_once(lambda: begin("iv-1"), lambda: begin("iv-2"))
    assert outcomes.count("began") == 1
    winner = f"iv-{outcomes.index('began') + 1}"
    assert any(winner in outcome for outcome in outcomes)


def test_a_version_on_postgresql_that_is_being_promoted_is_not_retired(on_postgresql: Database) -> None:
    def retire() -> None:
        with on_postgresql.write() as connection:
            reembed.retire(connection, "two")

    with ThreadPoolExecutor(1) as pool:
        with on_postgresql.write() as connection:
            corpora.get(connection, CORPUS, lock=True)
            index_versions.set_fields(connection, "two", state=IndexState.SERVING.value)
            corpora.set_serving(connection, CORPUS, "two", "one")
            retiring: Future[object] = pool.submit(retire)
            until_one_waits(on_postgresql, retiring)
        retiring.result(timeout=PATIENCE_SECONDS)
    with on_postgresql.read() as connection:
        assert index_versions.get(connection, "two").state is IndexState.SERVING
        assert corpora.get(connection, CORPUS).previous == "one"


def test_the_serving_cursor_on_postgresql_stands_still_while_a_promotion_compares(
    on_postgresql: Database,
) -> None:
    with on_postgresql.write() as connection:
        token = index_versions.claim_applier(connection, "one", 60)
    assert token is not None

    def advance() -> None:
        with on_postgresql.write() as connection:
            index_versions.advance(connection, "one", token, 0, 7)

    with ThreadPoolExecutor(1) as pool:
        with on_postgresql.write() as connection:
            candidate = index_versions.get(connection, "two")
            assert _behind(connection, corpora.get(connection, CORPUS), candidate) == 0
            advancing: Future[object] = pool.submit(advance)
            until_one_waits(on_postgresql, advancing)
        advancing.result(timeout=PATIENCE_SECONDS)
    with on_postgresql.read() as connection:
        assert index_versions.get(connection, "one").applied_seq == 7


def test_documents_on_postgresql_are_written_while_a_corpus_is_locked(on_postgresql: Database) -> None:
    with on_postgresql.write() as connection:
        corpora.get(connection, CORPUS, lock=True)
        index_versions.get(connection, "one", lock=True)
        put_documents(on_postgresql, CORPUS, batch(["a"], "x"))
        with on_postgresql.write() as other:
            index_versions.place(other, "one", [Placement("a", 1, 1, True)])


def test_retrievals_logged_by_several_at_once_are_stored_once(catalog: Database) -> None:
    logged = [Retrieval(f"r-{n:03}", CORPUS, "q", "k/", "iv", "m", [], now()) for n in range(2000)]

    def log(order: Sequence[Retrieval]) -> None:
        with catalog.write() as connection:
            feedback.log_retrievals(connection, order)

    at_once(lambda: log(logged), lambda: log(logged[::-1]), lambda: log(logged))
    with catalog.read() as connection:
        assert len(feedback.shown_by(connection, CORPUS, "iv")) == 2000
