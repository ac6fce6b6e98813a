"""The whole loop: people search and vote, a cycle starts by itself, its model takes over, and back again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from embedloop.client import Client
from embedloop.errors import Conflict, InvalidInput, NotFound, TooLittleFeedback
from embedloop.supervisor import Stack
from tests.integration.stack import clinic
from tests.integration.stack.conftest import (
    JOB_SECONDS,
    NewCorpus,
    eventually,
    make_corpus,
    succeeded,
)

VOTERS = 12
EVERYTHING = 50


@dataclass
class Loop:
    """A corpus whose people have voted until its cycle started by itself, and what became of it."""

    corpus: str
    before: str
    job: dict[str, Any]
    events: list[dict[str, Any]]


def vote(client: Client, corpus: str, query: str, document: str, session: str) -> dict[str, Any]:
    """One person searches and gives the right document a thumb."""
    found = client.search(corpus, query, top_k=EVERYTHING, session=session)
    return client.feedback(found.retrieval_id, "up", document)


def judge(client: Client, corpus: str, lines: list[dict[str, Any]]) -> None:
    summary = list(client.bulk_judgments(corpus, lines))[-1]["summary"]
    assert summary["refused"] == 0


@pytest.fixture(scope="module")
def loop(client: Client, base_model: str) -> Loop:
    name = "loop"
    make_corpus(client, name, base_model, trigger={"new_feedback": VOTERS, "min_pairs": 6})
    judge(client, name, clinic.judged(1, "golden", 8))
    before = client.corpus(name)["serving"]
    for number, (query, document) in enumerate(clinic.questions(0)[:VOTERS]):
        vote(client, name, query, document, f"person {number}")
    found = eventually(lambda: [j for j in client.jobs(name) if j["kind"] == "cycle"], "a cycle")
    events = list(client.job_events(found[0]["id"]))
    return Loop(name, before, client.wait_for_job(found[0]["id"], JOB_SECONDS), events)


def test_votes_start_a_cycle_that_is_promoted(client: Client, loop: Loop) -> None:
    job = loop.job
    assert job["state"] == "succeeded", job
    result = job["result"]
    assert result["promoted"] is True
    assert result["gate"]["verdict"] == "passed"
    assert result["gate"]["metrics"]["queries"] == 8
    assert job["progress"] == 1.0
    corpus = client.corpus(loop.corpus)
    assert (corpus["serving"], corpus["previous"]) == (result["index_version"], loop.before)
    found = client.search(loop.corpus, "flu")
    assert (found.index_version, found.model_version) == (result["index_version"], result["model_version"])


def test_the_votes_that_started_a_cycle_start_no_second_one(client: Client, loop: Loop) -> None:
    assert [job["id"] for job in client.jobs(loop.corpus) if job["kind"] == "cycle"] == [loop.job["id"]]


def test_candidate_names_its_lineage(client: Client, loop: Loop) -> None:
    model = client.model(loop.job["result"]["model_version"])
    base = client.model(model["parent"])
    assert model["corpus"] == loop.corpus
    assert model["training_set"] == loop.job["result"]["training_set"]
    assert base["parent"] is None
    assert model["dimension"] == base["dimension"] == 32
    assert any(name.endswith(".safetensors") for name in model["manifest"])
    assert {one["id"] for one in client.models(loop.corpus)} >= {model["id"], base["id"]}


def test_events_tell_every_change_and_end_with_the_job(loop: Loop) -> None:
    assert loop.events[-1]["state"] == "succeeded"
    assert all(event["id"] == loop.job["id"] for event in loop.events)
    assert [event["state"] for event in loop.events].count("succeeded") == 1
    told = [event["progress"] for event in loop.events]
    assert told == sorted(told)
    assert "train" in {event["stage"] for event in loop.events}


def test_index_versions_tell_what_serves_and_what_stands_by(client: Client, loop: Loop) -> None:
    listed = {version["id"]: version for version in client.index_versions(loop.corpus)}
    serving, standby = listed[loop.job["result"]["index_version"]], listed[loop.before]
    assert (serving["state"], standby["state"]) == ("serving", "standby")
    assert serving["verification"]["passed"]
    assert serving["passages"] == standby["passages"] == len(clinic.TERMS)
    assert serving["lag"] == 0


def test_rollback_keeps_what_was_written_since_and_promote_returns(client: Client, loop: Loop) -> None:
    newer = loop.job["result"]["index_version"]
    client.put_document(loop.corpus, "since", text="written after the promotion", wait_applied=True)
    client.delete_document(loop.corpus, "d19", wait_applied=True)
    back = client.rollback(loop.corpus)
    assert (back["serving"], back["previous"]) == (loop.before, newer)
    found = client.search(loop.corpus, "written after", top_k=EVERYTHING)
    assert found.index_version == loop.before
    shown = {hit.document_id for hit in found.results}
    assert "since" in shown
    assert "d19" not in shown
    with pytest.raises(Conflict):
        client.promote(loop.corpus, loop.before)
    client.put_document(loop.corpus, "between", text="written after the rollback", wait_applied=True)
    forth = client.promote(loop.corpus, newer)
    assert (forth["serving"], forth["previous"]) == (newer, loop.before)
    found = client.search(loop.corpus, "written after", top_k=EVERYTHING)
    assert found.index_version == newer
    assert {"since", "between"} <= {hit.document_id for hit in found.results}


def test_cycle_that_the_gate_rejects_leaves_serving_alone(client: Client, new_corpus: NewCorpus) -> None:
    name = new_corpus(gate={"min_uplift": 0.99})
    judge(client, name, [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)])
    before = client.corpus(name)
    job = client.wait_for_job(client.submit_job("cycle", name)["id"], JOB_SECONDS)
    assert job["state"] == "rejected", job
    assert job["result"]["gate"]["verdict"] == "failed"
    assert "min_uplift +0.9900" in job["result"]["gate"]["reasons"][0]
    assert job["result"]["promoted"] is False
    assert client.corpus(name)["serving"] == before["serving"]
    assert [v["id"] for v in client.index_versions(name)] == [before["serving"]]
    candidate = job["result"]["model_version"]
    forced = client.submit_job("reindex", name, {"model_version": candidate})
    refused = client.wait_for_job(forced["id"], JOB_SECONDS)
    assert (refused["state"], refused["error"]["code"]) == ("failed", "promotion_refused")
    built = client.submit_job("reindex", name, {"model_version": candidate, "promote": False})
    ready = succeeded(client, built)["result"]["index_version"]
    with pytest.raises(Exception, match="gate"):
        client.promote(name, ready)
    assert client.corpus(name)["serving"] == before["serving"]


def trainers(stack: Stack) -> list[psutil.Process]:
    """The training processes of a stack."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "training" in command and command[-1].startswith(str(stack.data_dir)):
            found.append(process)
    return found


def long_training(client: Client, name: str) -> dict[str, Any]:
    """Submits a cycle that trains for minutes."""
    lines = [
        {"query": f"{query} of patient {n}", "document_id": identity, "grade": 1, "split": "train"}
        for n in range(50)
        for query, identity in clinic.questions(0)
    ]
    judge(client, name, [*lines, *clinic.judged(1, "golden", 6)])
    return client.submit_job("cycle", name)


def test_job_in_training_excludes_others_and_ends_soon_when_cancelled(
    client: Client, stack: Stack, new_corpus: NewCorpus
) -> None:
    name = new_corpus(training={"batch_size": 2, "epochs": 10})
    before = client.corpus(name)["serving"]
    job = long_training(client, name)
    for kind in ("cycle", "finetune", "reindex"):
        with pytest.raises(Conflict, match=job["id"]) as told:
            client.submit_job(kind, name)
        assert told.value.field == "corpus"
    with pytest.raises(Conflict, match=job["id"]):
        client.delete_corpus(name)
    eventually(lambda: trainers(stack), "a training process")
    assert client.job(job["id"])["stage"] == "train"
    client.cancel_job(job["id"])
    ended = client.wait_for_job(job["id"], 30)
    assert (ended["state"], ended["error"]["code"]) == ("cancelled", "cancelled")
    eventually(lambda: not trainers(stack), "the end of the training process")
    assert client.corpus(name)["serving"] == before
    assert client.cancel_job(job["id"])["state"] == "cancelled"


def test_job_cancelled_while_it_waits_ends_as_cancelled(client: Client, new_corpus: NewCorpus) -> None:
    name = new_corpus()
    job = client.submit_job("reindex", name, {"promote": False})
    client.cancel_job(job["id"])
    assert client.wait_for_job(job["id"], 60)["state"] in ("cancelled", "succeeded")
    states = {version["state"] for version in client.index_versions(name)}
    assert "building" not in states


def test_split_that_contradicts_the_one_fixed_is_refused(client: Client, new_corpus: NewCorpus) -> None:
    name = new_corpus(wait=False)
    judge(client, name, clinic.judged(0, "golden", 1))
    query = clinic.questions(0)[0][0]
    *told, last = client.bulk_judgments(
        name,
        [
            {"query": query.upper(), "document_id": "d00", "grade": 1, "split": "train"},
            {"query": query, "document_id": "d01", "grade": 2},
            {"query": query, "document_id": "d00", "grade": 4},
            {"query": query, "document_id": "d00", "grade": 1, "split": "test"},
        ],
    )
    assert [one["status"] for one in told] == ["refused", "stored", "refused", "refused"]
    assert (told[0]["error"]["code"], told[0]["error"]["field"]) == ("conflict", "split")
    assert told[2]["error"]["field"] == "grade"
    assert told[3]["error"]["field"] == "split"
    assert last["summary"] == {"lines": 4, "stored": 1, "refused": 3}


def _query(catalog_file: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{catalog_file}?mode=ro", uri=True)) as connection:
        return connection.execute(statement, values).fetchall()


def test_feedback_given_at_once_is_settled_with_the_person_who_searched(
    client: Client, catalog_file: Path, new_corpus: NewCorpus
) -> None:
    name = new_corpus()
    given = [vote(client, name, query, document, "ann") for query, document in clinic.questions(0)]
    assert {one["status"] for one in given} <= {"stored", "pending"}

    def settled() -> bool:
        rows = _query(catalog_file, "SELECT person, pending FROM feedback WHERE corpus = ?", name)
        return len(rows) == len(given) and all(p.endswith("/ann") and not waits for p, waits in rows)

    eventually(settled, "feedback to be settled")


def test_logged_query_holds_no_personal_data(
    client: Client, stack: Stack, catalog_file: Path, new_corpus: NewCorpus
) -> None:
    name = new_corpus()
    found = client.search(name, "mail me at a.b@example.com about the flu")
    client.feedback(
        found.retrieval_id, "up", found.results[0].document_id, comment="ask c.d@example.org, she knows"
    )

    def logged() -> list[tuple[Any, ...]]:
        statement = "SELECT query FROM retrievals WHERE retrieval_id = ?"
        return _query(catalog_file, statement, found.retrieval_id)

    query = eventually(logged, "the retrieval to be logged")[0][0]
    assert "example.com" not in query
    assert query.startswith("mail me at ")
    assert query.endswith(" about the flu")
    comment = _query(catalog_file, "SELECT comment FROM feedback WHERE corpus = ?", name)[0][0]
    assert "example.org" not in comment
    spooled = "".join(path.read_text() for path in (stack.data_dir / "spool").rglob("*.ndjson*"))
    assert "a.b@example.com" not in spooled


def test_deleted_feedback_trains_no_more(client: Client, new_corpus: NewCorpus) -> None:
    name = new_corpus()
    given = [vote(client, name, query, document, "bob") for query, document in clinic.questions(0)[:4]]
    client.delete_feedback(given[0]["feedback_id"])
    with pytest.raises(TooLittleFeedback, match="at most 3 training pairs"):
        client.submit_job("cycle", name)
    with pytest.raises(NotFound):
        client.delete_feedback(given[0]["feedback_id"])


def test_every_signal_is_taken_as_the_contract_says(client: Client, new_corpus: NewCorpus) -> None:
    name = new_corpus()
    found = client.search(name, "flu", top_k=3)
    first = found.results[0]
    shown = {hit.document_id for hit in found.results}
    missed = next(d["id"] for d in clinic.documents() if d["id"] not in shown)
    for signal in ("up", "down", "click"):
        assert client.feedback(found.retrieval_id, signal, first.document_id)["feedback_id"]
        assert client.feedback(found.retrieval_id, signal, passage_id=first.passage_id)["feedback_id"]
    assert client.feedback(found.retrieval_id, "correct", missed)["feedback_id"]
    assert client.feedback(found.retrieval_id, "none_relevant")["feedback_id"]
    with pytest.raises(InvalidInput):
        client.feedback(found.retrieval_id, "up", missed)
