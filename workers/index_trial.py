"""Stage `index_trial`: which `policy.index` is fastest here, for this corpus, among those that find enough."""

from __future__ import annotations

import uuid
from typing import Any

from embedloop.catalog import corpora, garbage
from embedloop.errors import InvalidInput
from embedloop.index_candidates import candidates, name_of, proposal
from embedloop.index_trial import Truth, measured, refusal, refused, truth_of
from embedloop.jobs import End, Lease, Outcome
from embedloop.policy import IndexSettings
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job, JobState
from workers.parts import Parts
from workers.trial_sample import Drawn, drawn

FEW_PASSAGES = 1000
# Of the stage's progress: reading and encoding, before the first candidate.
_DRAWN = 0.1


def index_trial(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Measures each candidate in a scratch collection of its own; what an earlier attempt measured stays."""
    with parts.database.read() as connection:
        corpus = corpora.get(connection, job.corpus)
    serving = parts.serving(corpus)
    if left := job.checkpoint.get("scratch"):
        parts.index.drop(left)
    own = corpus.policy.index
    of = {"index_version": serving.index_version_id, "index": own.model_dump(mode="json")}
    rows = dict(job.checkpoint["rows"]) if job.checkpoint.get("of") == of else {}
    todo = candidates(own)
    rows_asked, queries_asked = int(job.params["rows"]), int(job.params["queries"])
    with drawn(parts, corpus, serving, rows_asked, queries_asked, lease) as found:
        truth = truth_of(found.sample)
        for number, settings in enumerate(todo):
            share = (1 - _DRAWN) / len(todo)
            if name_of(settings) not in rows:
                row = _tried(parts, corpus, settings, truth, lease, (_DRAWN + share * number, share))
                rows[row["name"]] = row
                lease.keep({"of": of, "rows": rows, "scratch": None})
    return End(
        JobState.SUCCEEDED,
        _told(found, [rows[name_of(settings)] for settings in todo], own)
        | {
            "server": parts.index.capabilities().server,
            "model_version": serving.model_id,
            "index_version": serving.index_version_id,
        },
    )


def _tried(
    parts: Parts,
    corpus: Corpus,
    settings: IndexSettings,
    truth: Truth,
    lease: Lease,
    share: tuple[float, float],
) -> dict[str, Any]:
    """The row of a candidate; what Milvus refuses, at once or when it comes to it, is told."""
    if reason := refusal(parts.index, settings):
        return refused(settings, reason)
    begin, length = share
    collection = _scratch_name(parts, corpus)
    # Before it is there: what is left of it is found by that, and nobody takes it for an orphan.
    lease.keep({"scratch": collection})
    try:
        return measured(
            parts.index,
            collection,
            settings,
            truth,
            check=lease.check,
            progress=lambda fraction: lease.progress(begin + length * fraction),
        )
    except InvalidInput as error:
        return refused(settings, error.message)


def _scratch_name(parts: Parts, corpus: Corpus) -> str:
    """A name that no other attempt has: a worker that was given up may still write to its own."""
    with parts.database.write() as connection:
        prefix = garbage.own_prefix(connection)
    return f"{prefix}{corpus.name.replace('-', '_')}_trial_{uuid.uuid4().hex[:16]}"


def _told(found: Drawn, rows: list[dict[str, Any]], own: IndexSettings) -> dict[str, Any]:
    """The result, JSON-ready."""
    said = proposal(rows)
    return {
        "passages": found.passages,
        "rows": len(found.sample.keys),
        "queries": dict(found.sources),
        "dimension": int(found.sample.vectors.shape[1]),
        "candidates": rows,
        "proposed": None if said.index is None else dict(said.index),
        "reason": said.reason,
        "notes": _notes(len(found.sample.keys), own),
    }


def _notes(rows: int, own: IndexSettings) -> list[str]:
    notes = []
    if rows < FEW_PASSAGES:
        notes.append(
            f"{rows} passages are few: under {FEW_PASSAGES:,} every search is fast, and figures say little"
        )
    if own.metric_type != "COSINE":
        notes.append(f"int8 and binary need COSINE, and were left out: metric_type is {own.metric_type}")
    if own.bm25:
        notes.append("searches were timed by vectors alone, without bm25")
    return notes
