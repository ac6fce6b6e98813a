"""Several writers and workers at once, each a real thread with a transaction of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy import text

from embedloop import jobs as job_rules
from embedloop import reembed
from embedloop.catalog import corpora, documents, feedback, index_versions, jobs, models, promotions, shards
from embedloop.catalog.database import Database, now
from embedloop.corpus import put_documents
from embedloop.errors import Conflict
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.policy import Chunking, IndexSettings, Policy
from embedloop.promotion import _behind
from embedloop.records.documents import Change, NewDocument, Op
from embedloop.records.feedback import Retrieval
from embedloop.records.jobs import JobKind, JobState
from embedloop.records.labels import Split
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion, Placement
from tests.unit.embedloop.catalog.conftest import CORPUS

T = TypeVar("T")

WORKERS = 4
DAY = 86_400.0


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Starts every call in a thread of its own at the same moment; raises what one of them raised."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        together.wait(timeout=60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(timeout=120) for future in [pool.submit(run, call) for call in calls]]


def batch(ids: Sequence[str], text: str) -> list[NewDocument]:
    return [NewDocument(i, "", text) for i in ids]


def add_job(catalog: Database, job_id: str, kind: JobKind = JobKind.EVALUATE, corpus: str = CORPUS) -> None:
    with catalog.write() as connection:
        jobs.add(
            connection, job_id=job_id, kind=kind, corpus=corpus, stage="build", params={}, idempotency_key=None
        )


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Database]:
    """A corpus with a serving version `one` and its rollback `two`."""
    opened = Database(postgresql_url)
    model = ModelVersion("m-1", "base", None, None, None, 32, 64, "", "", "onnx", {}, {}, now())
    with opened.write() as connection:
        corpora.add(connection, CORPUS, Policy())
        models.add(connection, model)
        for name, state in (("one", IndexState.SERVING), ("two", IndexState.STANDBY)):
            index_versions.add(
                connection,
                IndexVersion(
                    index_version_id=name,
                    corpus=CORPUS,
                    model_id="m-1",
                    collection=f"c_{name}",
                    state=state,
                    chunking=Chunking(),
                    index=IndexSettings(),
                    head=0,
                    applied_seq=0,
                    backfilled=True,
                    verification=None,
                    served_at=None,
                    retired_at=None,
                    created_at=now(),
                ),
            )
        corpora.set_serving(connection, CORPUS, "one", "two")
    yield opened
    opened.dispose()


def until_one_waits(database: Database, future: Future[object]) -> None:
    """Returns once another transaction waits for a lock, or fails when its call ended without."""
    question = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(3000):
        assert not future.done(), "it did not wait"
        if database.lookup(question, [])[0][0]:
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


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
        seen = follower.result(timeout=120)
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
        later.result(timeout=60)
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


@pytest.mark.parametrize("round_", range(5))
def test_one_of_several_workers_gets_the_job(catalog: Database, round_: int) -> None:
    add_job(catalog, "j-1")

    def claim() -> object:
        with catalog.write() as connection:
            return jobs.claim(connection, "j-1", "build", 60)

    won = [claimed for claimed in at_once(*[claim] * WORKERS) if claimed is not None]
    assert len(won) == 1
    with catalog.read() as connection:
        assert jobs.get(connection, "j-1").attempts == 1


@pytest.mark.parametrize("round_", range(5))
def test_one_of_several_workers_gets_the_shard(
    catalog: Database, add_version: Callable[..., IndexVersion], round_: int
) -> None:
    add_version("one")
    with catalog.write() as connection:
        shards.add(connection, "one", "j-1", [("a", "b")])
        (shard_id,) = shards.take_unsent(connection, "one", DAY)

    def claim() -> object:
        with catalog.write() as connection:
            return shards.claim(connection, shard_id, 60)

    assert len([claimed for claimed in at_once(*[claim] * WORKERS) if claimed is not None]) == 1


def test_one_of_several_appliers_gets_the_lease(
    catalog: Database, add_version: Callable[..., IndexVersion]
) -> None:
    add_version("one", backfilled=True)

    def claim() -> int | None:
        with catalog.write() as connection:
            return index_versions.claim_applier(connection, "one", 60)

    assert sorted(at_once(*[claim] * WORKERS), key=str) == [1, None, None, None]


def test_shards_letters_and_nudges_are_taken_once_by_several_workers(
    catalog: Database, add_version: Callable[..., IndexVersion]
) -> None:
    add_version("one")
    with catalog.write() as connection:
        shards.add(connection, "one", "j-1", [(f"{n:03}", f"{n:03}") for n in range(60)])
        for n in range(60):
            jobs.post(connection, "task", n)
    for n in range(60):
        add_job(catalog, f"j-{n}")
    with catalog.write() as connection:
        connection.execute(text("UPDATE outbox SET taken_at = 0"))

    def take() -> tuple[list[int], list[int], list[str]]:
        sent: list[int] = []
        letters: list[int] = []
        nudged: list[str] = []
        for _ in range(4):
            with catalog.write() as connection:
                letters += [letter.outbox_id for letter in jobs.take_unsent(connection, DAY, limit=10)]
            with catalog.write() as connection:
                sent += shards.take_unsent(connection, "one", DAY)
            with catalog.write() as connection:
                nudged += [job_id for job_id, _ in jobs.nudge(connection, DAY)]
        return sent, letters, nudged

    taken = at_once(*[take] * WORKERS)
    for kind in range(3):
        together = [row for worker in taken for row in worker[kind]]
        assert len(together) == len(set(together)) == 60


def test_workers_on_postgresql_pass_over_what_another_is_taking(on_postgresql: Database) -> None:
    with on_postgresql.write() as connection:
        shards.add(connection, "one", "j-1", [("a", "b"), ("c", "d")])
        for n in range(5):
            jobs.post(connection, "task", n)
        connection.execute(text("UPDATE outbox SET taken_at = 0"))
    for name in ("j-1", "j-2"):
        add_job(on_postgresql, name)
    with on_postgresql.write() as one, on_postgresql.write() as other:
        # Waiting for the first transaction, which stays open, would end in its lock timeout.
        first = jobs.take_unsent(one, DAY, limit=2)
        rest = jobs.take_unsent(other, DAY)
        assert [[letter.args[0] for letter in taken] for taken in (first, rest)] == [[0, 1], [2, 3, 4]]
        assert len(shards.take_unsent(one, "one", DAY)) == 2
        assert shards.take_unsent(other, "one", DAY) == []
        jobs.order(one, "j-1", JobState.QUEUED, cancel=True)
        assert jobs.nudge(other, DAY) == [("j-2", "build")]
    with on_postgresql.write() as connection:
        assert jobs.take_unsent(connection, DAY) == []
        assert shards.take_unsent(connection, "one", DAY) == []
        assert jobs.nudge(connection, DAY) == [("j-1", "build")]


def test_a_claim_on_postgresql_waits_for_a_nudge_instead_of_giving_up(on_postgresql: Database) -> None:
    add_job(on_postgresql, "j-1")

    def claim() -> object:
        with on_postgresql.write() as connection:
            return jobs.claim(connection, "j-1", "build", 60)

    with ThreadPoolExecutor(1) as pool:
        with on_postgresql.write() as connection:
            assert jobs.nudge(connection, 5) == [("j-1", "build")]
            claimed: Future[object] = pool.submit(claim)
            until_one_waits(on_postgresql, claimed)
        assert claimed.result(timeout=60) is not None


def test_equal_submits_at_once_make_one_job(catalog: Database) -> None:
    def submit() -> str:
        with catalog.write() as connection:
            corpora.get(connection, CORPUS, lock=True)
            return job_rules.submit(connection, JobKind.CYCLE, CORPUS, {}, "key")[0].job_id

    assert len(set(at_once(*[submit] * WORKERS))) == 1


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
        retiring.result(timeout=60)
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
        advancing.result(timeout=60)
    with on_postgresql.read() as connection:
        assert index_versions.get(connection, "one").applied_seq == 7


def test_documents_on_postgresql_are_written_while_a_corpus_is_locked(on_postgresql: Database) -> None:
    with on_postgresql.write() as connection:
        corpora.get(connection, CORPUS, lock=True)
        index_versions.get(connection, "one", lock=True)
        put_documents(on_postgresql, CORPUS, batch(["a"], "x"))
        with on_postgresql.write() as other:
            index_versions.place(other, "one", [Placement("a", 1, 1, True)])


def test_progress_told_late_does_not_go_back(catalog: Database) -> None:
    add_job(catalog, "j-1")
    with catalog.write() as connection:
        jobs.set_progress(connection, "j-1", "build", 0.6)
        jobs.set_progress(connection, "j-1", "build", 0.4)
        assert jobs.get(connection, "j-1").progress == 0.6


def test_retrievals_logged_by_several_at_once_are_stored_once(catalog: Database) -> None:
    logged = [Retrieval(f"r-{n:03}", CORPUS, "q", "k/", "iv", "m", [], now()) for n in range(2000)]

    def log(order: Sequence[Retrieval]) -> None:
        with catalog.write() as connection:
            feedback.log_retrievals(connection, order)

    at_once(lambda: log(logged), lambda: log(logged[::-1]), lambda: log(logged))
    with catalog.read() as connection:
        assert len(feedback.shown_by(connection, CORPUS, "iv")) == 2000
