"""A reindex job in a quiet service, beside the encoder alone, and while searches go on."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks import child
from benchmarks.bench_corpus import Bench
from benchmarks.levels import base_of
from benchmarks.load import open_loop
from benchmarks.machine import cpu_seconds
from benchmarks.plan import ReembedPlan
from benchmarks.progress import say
from embedloop.demo.ontology import Vocabulary
from embedloop.encoder import TOKENIZER_FILE
from embedloop.jobs import STAGES
from embedloop.policy import Chunking
from embedloop.records.jobs import JobKind, JobState
from embedloop.settings import Settings
from embedloop.text.chunking import Chunker, embedding_text

WORKER = "embed-1"
LONGEST_SECONDS = 3600.0
WARM_UP_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0


def quiet(bench: Bench, documents: int) -> dict[str, Any]:
    """The job while nobody searches."""
    before = cpu_seconds(bench.stack.pid(WORKER))
    spans = run_reindex(bench)
    used = cpu_seconds(bench.stack.pid(WORKER)) - before
    return rates(spans, documents) | {"cpu_ms_per_document": round(1000 * used / documents, 3)}


def with_searches(bench: Bench, vocabulary: Vocabulary, plan: ReembedPlan) -> dict[str, Any]:
    """The job while searches come at a steady rate; the same searches before it, for comparison."""
    cases = [(case.query, case.term_id) for case in vocabulary.train]
    config = base_of(bench.target(), cases, WARM_UP_SECONDS, TIMEOUT_SECONDS) | {"rate": plan.rate}
    say(f"searches alone, {plan.rate:g} a second")
    before = asyncio.run(open_loop(config | {"seconds": plan.before_seconds}))
    stop = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="searches") as pool:
        searching = pool.submit(asyncio.run, open_loop(config | {"seconds": LONGEST_SECONDS}, stop))
        try:
            Event().wait(WARM_UP_SECONDS)
            spans = run_reindex(bench)
        finally:
            stop.set()
        during = searching.result()
    return rates(spans, len(vocabulary.terms)) | {"searches": {"before": before, "during": during}}


def bare(bench: Bench, vocabulary: Vocabulary) -> dict[str, Any]:
    """The encoder alone on the same passages, with the threads and the batch size of the job.

    Once with both threads in one batch, as a script would run it, and once `in_bulk`, as the job does it.
    """
    parts = bench.bare_parts()
    texts = passages(vocabulary, parts)
    documents = len(vocabulary.terms)
    return (
        {"documents": documents, "passages": len(texts)}
        | _encoded(parts, texts, documents, bulk=False)
        | {"in_bulk": _encoded(parts, texts, documents, bulk=True)}
    )


def _encoded(parts: dict[str, Any], texts: list[str], documents: int, *, bulk: bool) -> dict[str, float]:
    say(f"bare encoder{' in bulk' if bulk else ''}, {len(texts)} passages")
    figures = child.measure(
        "benchmarks.floor",
        parts | {"what": "encode", "threads": Settings().embed_threads, "bulk": bulk, "texts": texts},
    )
    return {
        "seconds": figures["seconds"],
        "documents_per_second": round(documents / figures["seconds"], 2),
        "cpu_ms_per_document": round(1000 * figures["cpu_seconds"] / documents, 3),
    }


def run_reindex(bench: Bench) -> dict[str, float]:
    """Re-embeds the corpus with the model that serves it, and promotes the result.

    Returns:
        Seconds of stage `embed`; from its begin until the new version was verified (`embed_to_ready`); and
        from the submission to the end of the job, promotion included (`job`).

    Raises:
        EmbedloopError: The job did not succeed.
    """
    say("reindex job")
    order = [stage.name for stage in STAGES[JobKind.REINDEX]]
    began: dict[str, float] = {}
    submitted = last = 0.0
    for at, job in bench.run_job(JobKind.REINDEX.value):
        submitted, last = submitted or at, at
        if job["state"] != JobState.QUEUED.value:
            # A stage shorter than the time between two looks began no later than the one after it.
            for stage in order[: order.index(job["stage"]) + 1]:
                began.setdefault(stage, at)
    for stage in order:
        began.setdefault(stage, last)
    return {
        "embed": began["verify"] - began["embed"],
        "embed_to_ready": began["promote"] - began["embed"],
        "job": last - submitted,
    }


def passages(vocabulary: Vocabulary, parts: dict[str, Any]) -> list[str]:
    """The texts that the job encodes: every term, cut as the service cuts it."""
    chunker = Chunker.from_tokenizer_file(
        Path(parts["model"]) / TOKENIZER_FILE, Chunking(), parts["max_tokens"]
    )
    return [
        embedding_text(term.name, chunk.text)
        for term in vocabulary.terms
        for chunk in chunker.split(term.name, term.definition)
    ]


def rates(spans: dict[str, float], documents: int) -> dict[str, Any]:
    """Spans of a job, and documents a second of each."""
    return {
        "documents": documents,
        "seconds": {name: round(seconds, 2) for name, seconds in spans.items()},
        "documents_per_second": {name: round(documents / seconds, 2) for name, seconds in spans.items()},
    }
