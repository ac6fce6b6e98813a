"""The corpus of the demo: created, filled, indexed, and given its golden queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from threading import Event

from embedloop.client import Client
from embedloop.client.results import Json
from embedloop.demo.narrate import Narrator
from embedloop.demo.ontology import Case, Vocabulary
from embedloop.demo.plan import CORPUS, DemoPlan
from embedloop.errors import DeadlineExceeded, EmbedloopError, NotFound
from embedloop.records.labels import Split
from embedloop.records.versions import IndexState

INDEX_SECONDS = 3600.0
_LOOK_SECONDS = 0.5


def create_and_fill(client: Client, plan: DemoPlan, vocabulary: Vocabulary, narrator: Narrator) -> None:
    """Create the corpus, ingest its documents, and wait until searches find all of them.

    Raises:
        EmbedloopError: A document was refused, or the first index version could not be built.
        DeadlineExceeded: The index does not catch up in time.
    """
    created = client.create_corpus(CORPUS, policy=plan.policy)
    with narrator.count("documents stored", len(vocabulary.terms)) as stored:
        lines = client.bulk_documents(CORPUS, (term.document for term in vocabulary.terms))
        last_seq = all_taken(lines, stored)
    with narrator.job("first index version") as bar:
        job = client.wait_for_job(created["job"], INDEX_SECONDS, bar)
    if job["state"] != "succeeded":
        raise EmbedloopError(f"the first index version must be built, its job {job['state']}: {job['error']}")
    wait_until_applied(client, last_seq)


def import_judgments(client: Client, cases: Iterable[tuple[Case, Split]], bar: Callable[[], None]) -> None:
    """Import each query with its one relevant document into the split that it comes with.

    Raises:
        EmbedloopError: A judgment was refused.
    """
    lines = (
        {"query": case.query, "document_id": case.term_id, "grade": 1, "split": split.value}
        for case, split in cases
    )
    all_taken(client.bulk_judgments(CORPUS, lines), bar)


def all_taken(lines: Iterable[Json], on_line: Callable[[], None]) -> int:
    """Read a bulk answer to its end.

    Returns:
        The `seq` of the last change that it made; 0 when it made none.

    Raises:
        EmbedloopError: A line was refused; the message holds the first refusal.
    """
    last_seq = 0
    for line in lines:
        if "summary" in line:
            return last_seq
        if line["status"] == "refused":
            raise EmbedloopError(f"every line must be stored, line {line['line']} was refused: {line['error']}")
        last_seq = max(last_seq, line.get("seq") or 0)
        on_line()
    raise EmbedloopError("a bulk answer must end with a summary, it ended without one")


def serving_version(client: Client) -> Json:
    """Read the index version that serves the corpus.

    Raises:
        NotFound: None serves.
    """
    versions = client.index_versions(CORPUS)
    for version in versions:
        if version["state"] == IndexState.SERVING.value:
            return version
    raise NotFound(f"an index version of {CORPUS!r} must be serving, states: {[v['state'] for v in versions]}")


def wait_until_applied(client: Client, seq: int) -> None:
    """Look until the serving index version has passed a change.

    Raises:
        DeadlineExceeded: It has not within the hour.
    """
    deadline = time.monotonic() + INDEX_SECONDS
    pause = Event()
    while (version := serving_version(client))["applied_seq"] < seq:
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                f"index version {version['id']} must reach change {seq} within {INDEX_SECONDS:g} s, "
                f"it is at {version['applied_seq']}"
            )
        pause.wait(_LOOK_SECONDS)


def golden_cases(vocabulary: Vocabulary) -> Sequence[tuple[Case, Split]]:
    """Give the golden queries their split."""
    return [(case, Split.GOLDEN) for case in vocabulary.golden]
