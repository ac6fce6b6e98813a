"""Stage `gate_reranker`: answers with and without the re-ranker on the golden set, and its promotion."""

from __future__ import annotations

from embedloop.catalog import corpora
from embedloop.errors import TooLittleFeedback
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.records.jobs import Job, JobState
from embedloop.records.labels import Split
from embedloop.reranker import Reranker
from embedloop.rerankers import load_reranker, require_gated
from embedloop.second_stage import EncoderRescorer
from training.gate import decide
from training.hybrid import FOLDS, WEIGHTS, fused_run, tune_weight
from training.lexical import Bm25
from workers.gate import keep_decision
from workers.judged import Judged, load_judged, passage_vectors, score
from workers.parts import Parts
from workers.reranked import documents_of, nearest, rerank, second_encoder, texts_of

# As many are asked as make up for the time that each takes.
MOST_DEV_QUERIES = 300


def gate_reranker(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Lets the re-ranker serve only where it is better than no re-ranking; the decision is kept.

    Both rankings are of the serving model over one pool. The re-ranker works within the policy's budget, as it
    would in a search, and its order counts what the dev queries gave it; beside it stands the serving model's
    own second stage, whose place it would take. The general set is not asked: what is re-ranked there would be
    the serving model's.
    """
    golden = load_judged(parts, job.corpus, (Split.GOLDEN,))
    serving = parts.model(golden.serving.model_id)
    candidate = parts.model(job.checkpoint["model_version"])
    reranker = load_reranker(parts.store, candidate, threads=parts.settings.embed_threads)
    tuned = _weight(parts, _dev(parts, job), reranker, lease)
    weight = golden.corpus.policy.reranking.weight if tuned is None else tuned
    found = _ranked(parts, golden, lease, (0.4, 0.6))
    after, cost = rerank(golden, found, reranker, lease, (0.8, 1.0), weight=weight)
    own = second_encoder(parts, serving)
    before = found if own is None else rerank(golden, found, EncoderRescorer(own), lease, (0.6, 0.8))[0]
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
    told = {"gate": verdict, "reranking": {**cost, "weight": weight}}
    if not decision.passed:
        return End(JobState.REJECTED, {**job.checkpoint, **told, "promoted": False})
    return Advance({**told, "promoted": _promoted(parts, job, candidate.model_id, weight)})


def _weight(parts: Parts, judged: Judged | None, reranker: Reranker, lease: Lease) -> float | None:
    """How much the re-ranker's order should count by these queries, never 0; None where they are too few."""
    if judged is None or len(judged.keys) < FOLDS:
        return None
    found = _ranked(parts, judged, lease, (0.0, 0.2))
    alone, _ = rerank(judged, found, reranker, lease, (0.2, 0.4))
    present = judged.corpus.policy.reranking.weight
    runs = documents_of(judged, found), documents_of(judged, alone)
    return tune_weight(*runs, judged.qrels, present=present, weights=WEIGHTS[1:]).best


def _dev(parts: Parts, job: Job) -> Judged | None:
    try:
        return load_judged(parts, job.corpus, (Split.DEV,), most_queries=MOST_DEV_QUERIES)
    except TooLittleFeedback:
        return None


def _ranked(parts: Parts, judged: Judged, lease: Lease, share: tuple[float, float]) -> dict[str, list[str]]:
    """Query key -> ids of the best passages as a search without the re-ranker finds them."""
    depth = judged.corpus.policy.reranking.depth
    model = parts.model(judged.serving.model_id)
    encoder = parts.encoders.get(model)
    vectors = passage_vectors(parts, judged, encoder, lease, share, stored=True)
    run = nearest(judged, encoder, vectors, depth)
    if not judged.serving.index.bm25:
        return run
    found = Bm25(texts_of(judged)).search(judged.queries, depth)
    by_words = {key: [one for one, _ in row] for key, row in zip(judged.keys, found, strict=True)}
    fused = fused_run(run, by_words, judged.corpus.policy.bm25_weight)
    return {key: row[:depth] for key, row in fused.items()}


def _promoted(parts: Parts, job: Job, model_id: str, weight: float) -> bool:
    """Puts the re-ranker into the policy, which replicas follow, unless a person is to do it."""
    with parts.database.write() as connection:
        policy = corpora.get(connection, job.corpus, lock=True).policy
        if policy.require_approval or not job.params.get("promote", True):
            return False
        reranking = policy.reranking.model_copy(update={"model": model_id, "weight": weight})
        changed = policy.model_copy(update={"reranking": reranking})
        require_gated(connection, job.corpus, changed)
        corpora.set_policy(connection, job.corpus, changed)
    return True
