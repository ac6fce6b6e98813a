"""Stage `gate_reranker`: answers with and without the re-ranker on the golden set, and its promotion."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from embedloop.catalog import corpora
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.records import Job, JobState, Split
from embedloop.reranker import Reranker
from embedloop.rerankers import load_reranker, require_gated
from embedloop.text.chunking import embedding_text
from training.evaluation import rank_by_cosine
from training.gate import decide
from training.hybrid import fused_run
from training.lexical import Bm25
from workers.gate import keep_decision
from workers.judged import Judged, load_judged, passage_vectors, score
from workers.parts import Parts

_Run = Mapping[str, Sequence[str]]


def gate_reranker(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Lets the re-ranker serve only where it is better than no re-ranking; the decision is kept.

    Both rankings are of the serving model over one pool. The re-ranker works within the policy's budget, as it
    would in a search. The general set is not asked: what is re-ranked there would be the serving model's.
    """
    golden = load_judged(parts, job.corpus, (Split.GOLDEN,))
    serving = parts.model(golden.serving.model_id)
    candidate = parts.model(job.checkpoint["model_version"])
    reranker = load_reranker(parts.store, candidate, threads=parts.settings.embed_threads)
    before = _ranked(parts, golden, lease)
    after, cost = _reranked(golden, before, reranker, lease)
    policy = golden.corpus.policy.gate
    # Its limits are on encoders; how long re-ranking may take is what the budget says.
    limits = policy.model_copy(update={"max_query_ms": None, "max_model_mb": None})
    decision = decide(
        limits,
        score(golden, _documents(golden, before)),
        score(golden, _documents(golden, after)),
        slices=golden.slices(policy.slice_field),
    )
    verdict = keep_decision(parts, job, candidate, serving, decision)
    told = {**job.checkpoint, "gate": verdict, "reranking": cost}
    if not decision.passed:
        return End(JobState.REJECTED, {**told, "promoted": False})
    return Advance({"gate": verdict, "reranking": cost, "promoted": _promoted(parts, job, candidate.model_id)})


def _ranked(parts: Parts, golden: Judged, lease: Lease) -> dict[str, list[str]]:
    """Query key -> ids of the best passages as a search without a re-ranker finds them."""
    depth = golden.corpus.policy.reranking.depth
    encoder = parts.encoders.get(parts.model(golden.serving.model_id))
    vectors = passage_vectors(parts, golden, encoder, lease, (0.0, 0.3), stored=True)
    ids = [passage.passage_id for passage in golden.passages]
    near = rank_by_cosine(encoder.encode_queries(golden.queries), vectors, ids, depth)
    run = dict(zip(golden.keys, near, strict=True))
    if not golden.serving.index.bm25:
        return run
    found = Bm25(_texts(golden)).search(golden.queries, depth)
    by_words = {key: [one for one, _ in row] for key, row in zip(golden.keys, found, strict=True)}
    fused = fused_run(run, by_words, golden.corpus.policy.bm25_weight)
    return {key: row[:depth] for key, row in fused.items()}


def _reranked(
    golden: Judged, run: _Run, reranker: Reranker, lease: Lease
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The run re-ranked within the budget, and what that took: mean passages and median milliseconds."""
    texts = _texts(golden)
    budget_seconds = golden.corpus.policy.reranking.budget_ms / 1000
    found: dict[str, list[str]] = {}
    counts, spent = [], []
    for position, (key, query) in enumerate(zip(golden.keys, golden.queries, strict=True)):
        lease.progress(0.3 + 0.7 * position / len(golden.queries))
        begin = time.perf_counter()
        scores = reranker.score(query, [texts[one] for one in run[key]], budget_seconds=budget_seconds)
        spent.append(1000 * (time.perf_counter() - begin))
        counts.append(len(scores))
        best = sorted(range(len(scores)), key=lambda place: -scores[place])
        found[key] = [*(run[key][place] for place in best), *run[key][len(scores) :]]
    return found, {"passages": statistics.mean(counts), "median_ms": statistics.median(spent)}


def _texts(golden: Judged) -> dict[str, str]:
    return {one.passage_id: embedding_text(one.title, one.text) for one in golden.passages}


def _documents(golden: Judged, run: _Run) -> dict[str, list[str]]:
    """Query key -> documents in the order of their best passage."""
    owner = {one.passage_id: one.document_id for one in golden.passages}
    return {key: list(dict.fromkeys(owner[one] for one in row)) for key, row in run.items()}


def _promoted(parts: Parts, job: Job, model_id: str) -> bool:
    """Puts the re-ranker into the policy, which replicas follow, unless a person is to do it."""
    with parts.database.write() as connection:
        policy = corpora.get(connection, job.corpus, lock=True).policy
        if policy.require_approval or not job.params.get("promote", True):
            return False
        reranking = policy.reranking.model_copy(update={"model": model_id})
        changed = policy.model_copy(update={"reranking": reranking})
        require_gated(connection, job.corpus, changed)
        corpora.set_policy(connection, job.corpus, changed)
    return True
