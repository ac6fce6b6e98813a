"""`python -m benchmarks.reembed`: re-embedding and ingest, beside the bare encoder and LangChain; memory.

Writes `reembed.json` and `reembed.png`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks import (
    abstracts,
    bench_corpus,
    command,
    engines,
    machine,
    plain,
    reembed_picture,
    reindex,
    verdicts,
)
from benchmarks.bench_corpus import Bench
from benchmarks.figures import ratio
from benchmarks.memory import MemoryWatch
from benchmarks.plain import PlainService
from benchmarks.plan import ReembedPlan
from benchmarks.progress import say, show
from benchmarks.report import Report
from embedloop.demo.ontology import Vocabulary

ABSTRACTS = machine.ROOT.parent / "shared" / "data" / "scifact"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = command.parser("reembed", __doc__)
    command.add_milvus(parser)
    plain.add_packages(parser)
    parser.add_argument(
        "--abstracts", type=Path, default=ABSTRACTS, help=f"BEIR folder of long documents (default {ABSTRACTS})"
    )
    options = parser.parse_args(arguments)
    plan = ReembedPlan.quick() if options.quick else ReembedPlan()
    if options.terms:
        plan = replace(plan, terms=options.terms, first_terms=-(-options.terms // 3))
    return command.run(
        lambda: run(
            plan,
            options.milvus,
            plain.checked(options.plain_packages),
            abstracts.vocabulary(options.abstracts, plan.abstracts),
            command.folder_of(options),
        )
    )


def run(plan: ReembedPlan, milvus: str, packages: Path, long: Vocabulary, folder: Path) -> None:
    """Ours first, then, its stack stopped, LangChain on the same Milvus; at last ours with long documents."""
    vocabulary = command.vocabulary(plan.terms)
    settings = command.settings_of(vocabulary) | {"plan": asdict(plan), "long_documents": long.release}
    report = Report("reembed", folder, settings, reembed_picture.draw)
    with engines.running(milvus) as engine:
        report.keep("milvus", {"kind": engine.kind, "version": engine.version})
        with bench_corpus.running(engine) as bench, MemoryWatch(bench.pids) as watch:
            _measure_ours(bench, watch, vocabulary, plan, report)
        say(f"plain service: adding {len(vocabulary.terms)} terms")
        report.keep("plain_ingest", PlainService(packages, engine).ingest(vocabulary.terms))
        with bench_corpus.running(engine) as bench:
            report.keep("long_documents", _measure_long(bench, long))
    report.keep("ratios", ratios(report.content))
    report.finish()
    _show(report.content)


def ratios(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the job keeps of the bare encoder's speed, what searches cost it, and it them."""
    quiet, loaded, bare = found["quiet"], found["with_searches"], found["bare"]["documents_per_second"]
    searches = loaded["searches"]
    both = searches["before"]["latency_ms"] is not None and searches["during"]["latency_ms"] is not None
    long = found["long_documents"]
    told = {
        "embed_stage_to_bare_of_long_documents": verdicts.judged(
            ratio(long["quiet"]["documents_per_second"]["embed"], long["bare"]["documents_per_second"]),
            at_least=0.95,
        ),
        "embed_stage_to_bare": verdicts.judged(
            ratio(quiet["documents_per_second"]["embed"], bare), at_least=0.95
        ),
        "embed_stage_to_bare_in_bulk": verdicts.judged(
            ratio(quiet["documents_per_second"]["embed"], found["bare"]["in_bulk"]["documents_per_second"])
        ),
        "embed_stage_to_bare_in_bulk_of_long_documents": verdicts.judged(
            ratio(
                long["quiet"]["documents_per_second"]["embed"],
                long["bare"]["in_bulk"]["documents_per_second"],
            )
        ),
        "job_to_bare": verdicts.judged(ratio(quiet["documents_per_second"]["job"], bare)),
        "job_with_searches_to_quiet_job": verdicts.judged(
            ratio(loaded["documents_per_second"]["job"], quiet["documents_per_second"]["job"])
        ),
        "ingest_to_plain_service": verdicts.judged(
            ratio(found["ingest"]["documents_per_second"], found["plain_ingest"]["documents_per_second"])
        ),
    }
    for name in ("p50", "p99") if both else ():
        before, during = (searches[when]["latency_ms"][name] for when in ("before", "during"))
        told[f"search_{name}_during_to_before"] = verdicts.judged(ratio(during, before))
    return told


def _measure_ours(
    bench: Bench, watch: MemoryWatch, vocabulary: Vocabulary, plan: ReembedPlan, report: Report
) -> None:
    memory: list[dict[str, Any]] = []
    ingest: list[dict[str, float]] = []
    first, rest = vocabulary.terms[: plan.first_terms], vocabulary.terms[plan.first_terms :]
    with watch.phase("idle") as phase:
        Event().wait(plan.idle_seconds)
    memory.append({"documents": 0} | phase)
    documents = 0
    for terms in (first, rest):
        documents += len(terms)
        with watch.phase("ingest") as phase:
            ingest.append(bench.ingest(terms))
        memory.append({"documents": documents} | phase)
        with watch.phase("re-embed") as phase:
            quiet = reindex.quiet(bench, documents)
        memory.append({"documents": documents} | phase)
        report.keep("memory", memory)
    report.keep("ingest", ingest_of(ingest, documents))
    report.keep("quiet", quiet)
    report.keep("bare", reindex.bare(bench, vocabulary))
    with watch.phase("re-embed with searches") as phase:
        report.keep("with_searches", reindex.with_searches(bench, vocabulary, plan))
    memory.append({"documents": documents} | phase)
    report.keep("memory", memory)


def _measure_long(bench: Bench, documents: Vocabulary) -> dict[str, Any]:
    ingest = bench.ingest(documents.terms)
    return {
        "ingest": ingest_of([ingest], len(documents.terms)),
        "quiet": reindex.quiet(bench, len(documents.terms)),
        "bare": reindex.bare(bench, documents),
    }


def ingest_of(parts: Sequence[dict[str, float]], documents: int) -> dict[str, Any]:
    """Several ingests as one; documents a second are those that searches could find."""
    seconds = {name: sum(part[name] for part in parts) for name in ("applied", "found")}
    return {
        "documents": documents,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "documents_per_second": round(documents / seconds["found"], 2),
    }


def _show(found: dict[str, Any]) -> None:
    quiet, loaded = found["quiet"], found["with_searches"]
    rows: list[list[object]] = [
        ["bare encoder", found["bare"]["seconds"], found["bare"]["documents_per_second"]]
    ]
    for name, job in (("quiet", quiet), ("with searches", loaded)):
        for span, seconds in job["seconds"].items():
            rows.append([f"{name}, {span}", seconds, job["documents_per_second"][span]])
    long = found["long_documents"]
    rows.append(["long documents, bare encoder", long["bare"]["seconds"], long["bare"]["documents_per_second"]])
    for span, seconds in long["quiet"]["seconds"].items():
        rows.append([f"long documents, {span}", seconds, long["quiet"]["documents_per_second"][span]])
    ingest, plain_ingest = found["ingest"], found["plain_ingest"]
    rows.append(["ingest, until found", ingest["seconds"]["found"], ingest["documents_per_second"]])
    rows.append(["plain service, add_texts", plain_ingest["seconds"], plain_ingest["documents_per_second"]])
    show(f"Re-embed, {found['settings']['terms']} documents", ["span", "s", "documents/s"], rows)
    names = sorted({name for phase in found["memory"] for name in phase["mib"]})
    phases: list[list[object]] = [
        [f"{phase['documents']}, {phase['phase']}", *(phase["mib"].get(name) for name in names)]
        for phase in found["memory"]
    ]
    show("Memory in MiB, after", ["documents, phase", *names], phases)
    show("Re-embed, ratios", ["ratio", "value", "aim", "met"], verdicts.rows(found["ratios"]))


if __name__ == "__main__":
    sys.exit(main())
