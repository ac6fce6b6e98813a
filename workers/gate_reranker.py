"""Stage `gate_reranker`: answers with and without the re-ranker on the golden set, and its promotion."""

from __future__ import annotations

from embedloop.catalog import corpora
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.records import Job, JobState, Split
from embedloop.rerankers import load_reranker, require_gated
from embedloop.second_stage import EncoderRescorer
from training.gate import decide
from training.hybrid import fused_run
from training.lexical import Bm25
from workers.gate import keep_decision
from workers.judged import Judged, load_judged, passage_vectors, score
from workers.parts import Parts
from workers.reranked import documents_of, nearest, rerank, second_encoder, texts_of


def gate_reranker(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Lets the re-ranker serve only where it is better than no re-ranking; the decision is kept.

    Both rankings are of the serving model over one pool. The re-ranker works within the policy's budget, as it
    would in a search; beside it stands the serving model's own second stage, whose place it would take. The
    general set is not asked: what is re-ranked there would be the serving model's.
    """
    golden = load_judged(parts, job.corpus, (Split.GOLDEN,))
    serving = parts.model(golden.serving.model_id)
    candidate = parts.model(job.checkpoint["model_version"])
    reranker = load_reranker(parts.store, candidate, threads=parts.settings.embed_threads)
    found = _ranked(parts, golden, lease)
    after, cost = rerank(golden, found, reranker, lease, (0.6, 1.0))
    own = second_encoder(parts, serving)
    before = found if own is None else rerank(golden, found, EncoderRescorer(own), lease, (0.3, 0.6))[0]
    policy = golden.corpus.policy.gate
    # Its limits are on encoders; how long re-ranking may take is what the budget says.
    limits = policy.model_copy(update={"max_query_ms": None, "max_model_mb": None})
    decision = decide(
        limits,
        score(golden, documents_of(golden, before)),
        score(golden, documents_of(golden, after)),
        slices=golden.slices(policy.slice_field),
    )
    verdict = keep_decision(parts, job, candidate, serving, decision)
    told = {**job.checkpoint, "gate": verdict, "reranking": cost}
    if not decision.passed:
        return End(JobState.REJECTED, {**told, "promoted": False})
    return Advance({"gate": verdict, "reranking": cost, "promoted": _promoted(parts, job, candidate.model_id)})


def _ranked(parts: Parts, golden: Judged, lease: Lease) -> dict[str, list[str]]:
    """Query key -> ids of the best passages as a search without the re-ranker finds them."""
    depth = golden.corpus.policy.reranking.depth
    model = parts.model(golden.serving.model_id)
    encoder = parts.encoders.get(model)
    vectors = passage_vectors(parts, golden, encoder, lease, (0.0, 0.3), stored=True)
    run = nearest(golden, encoder, vectors, depth)
    if not golden.serving.index.bm25:
        return run
    found = Bm25(texts_of(golden)).search(golden.queries, depth)
    by_words = {key: [one for one, _ in row] for key, row in zip(golden.keys, found, strict=True)}
    fused = fused_run(run, by_words, golden.corpus.policy.bm25_weight)
    return {key: row[:depth] for key, row in fused.items()}


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
