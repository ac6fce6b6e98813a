"""Section `reembed`: a reindex job, beside the encoder alone on the same passages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.bench_corpus import Bench
from benchmarks.figures import ratio
from benchmarks.machine import cpu_seconds
from benchmarks.progress import say, show
from embedloop.demo.ontology import Vocabulary
from embedloop.encoder import TOKENIZER_FILE
from embedloop.jobs import STAGES
from embedloop.policy import Chunking
from embedloop.records import JobKind, JobState
from embedloop.settings import Settings
from embedloop.text.chunking import Chunker, embedding_text

WORKER = "embed-1"


def measure(bench: Bench) -> dict[str, Any]:
    """The job, then the bare encoder while the stack is idle."""
    documents = len(bench.vocabulary.terms)
    before = cpu_seconds(bench.stack.pid(WORKER))
    spans = run_reindex(bench)
    worker_seconds = cpu_seconds(bench.stack.pid(WORKER)) - before
    parts = bench.bare_parts()
    texts = passages(bench.vocabulary, parts)
    say(f"bare encoder, {len(texts)} passages")
    bare = child.measure(
        "benchmarks.floor",
        parts | {"what": "encode", "threads": Settings().embed_threads, "texts": texts},
    )
    bare_rate = documents / bare["seconds"]
    rates = {name: round(documents / seconds, 2) for name, seconds in spans.items()}
    section = {
        "documents": documents,
        "passages": len(texts),
        "seconds": {name: round(seconds, 2) for name, seconds in spans.items()},
        "documents_per_second": rates,
        "bare": {"seconds": bare["seconds"], "documents_per_second": round(bare_rate, 2)},
        "cpu_ms_per_document": {
            "embed_worker": round(1000 * worker_seconds / documents, 3),
            "bare": round(1000 * bare["cpu_seconds"] / documents, 3),
        },
        "ingest": {
            "seconds": round(bench.ingest_seconds, 2),
            "documents_per_second": round(documents / bench.ingest_seconds, 2),
        },
        "ratios": {f"{name}_to_bare": ratio(rate, bare_rate) for name, rate in rates.items()}
        | {"cpu_of_worker_to_bare": ratio(worker_seconds, bare["cpu_seconds"])},
    }
    _show(section)
    return section


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


def _show(section: dict[str, Any]) -> None:
    rates, ratios = section["documents_per_second"], section["ratios"]
    rows: list[list[object]] = [
        [name, seconds, rates[name], ratios[f"{name}_to_bare"]] for name, seconds in section["seconds"].items()
    ]
    for name in ("bare", "ingest"):
        rows.append([name, *section[name].values(), None])
    rows.append(["CPU time of the worker", None, None, ratios["cpu_of_worker_to_bare"]])
    show(f"Re-embed, {section['documents']} documents", ["span", "s", "documents/s", "to bare"], rows)
