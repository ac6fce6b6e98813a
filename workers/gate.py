"""Stages `gate` and `evaluate`: models measured on the golden set over one pool of documents."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedloop.catalog import corpora, documents, feedback, index_versions, models
from embedloop.catalog.database import now
from embedloop.corpus import passages_of
from embedloop.encoder import Encoder, Vectors
from embedloop.errors import NotReady, TooLittleFeedback
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.records import Corpus, Gate, IndexVersion, Job, JobState, Judgment, ModelVersion, Passage, Split
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import query_key
from training.evaluation import Scores, rank_by_cosine, score_run
from training.gate import General, decide, gate_pool
from workers.general import general_sets, measure_general
from workers.parts import Parts

RANKED = 10
PASSAGES_PER_STEP = 128


@dataclass(frozen=True)
class Golden:
    """The golden queries with their judgments, and the passages among which each model must find them."""

    corpus: Corpus
    serving: IndexVersion
    queries: Sequence[str]
    qrels: dict[str, dict[str, int]]
    passages: Sequence[Passage]


def gate(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Decides whether the candidate may serve; the decision is kept whatever it is."""
    golden = load_golden(parts, job.corpus)
    candidate = parts.model(job.checkpoint["model_version"])
    serving_scores = measure(
        golden, parts.encoders.get(parts.model(golden.serving.model_id)), lease, (0.0, 0.4), parts, stored=True
    )
    candidate_scores = measure(golden, parts.encoders.get(candidate), lease, (0.4, 0.8), parts)
    general = _general(parts, golden.corpus, candidate, lease)
    decision = decide(golden.corpus.policy.gate, serving_scores, candidate_scores, general)
    verdict = {
        "verdict": "passed" if decision.passed else "failed",
        "reasons": list(decision.reasons),
        "metrics": dict(decision.metrics),
    }
    with parts.database.write() as connection:
        models.add_gate(
            connection,
            Gate(
                gate_id=f"g-{uuid.uuid4().hex[:20]}",
                corpus=job.corpus,
                job_id=job.job_id,
                candidate=candidate.model_id,
                serving=golden.serving.model_id,
                passed=decision.passed,
                reasons=list(decision.reasons),
                metrics=dict(decision.metrics),
                created_at=now(),
            ),
        )
        models.set_metrics(connection, candidate.model_id, {**candidate.metrics, "gate": verdict})
    if not decision.passed:
        return End(JobState.REJECTED, {**job.checkpoint, "gate": verdict, "promoted": False})
    return Advance({"gate": verdict})


def _general(parts: Parts, corpus: Corpus, candidate: ModelVersion, lease: Lease) -> General | None:
    """The candidate beside the untrained base that it was made of, outside the corpus."""
    sets = general_sets(parts, corpus)
    if not sets:
        return None
    base = parts.model(candidate.parent) if candidate.parent else candidate
    base_scores = measure_general(sets, parts.encoders.get(base))
    lease.progress(0.9)
    return General(base_scores, measure_general(sets, parts.encoders.get(candidate)))


def evaluate(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Scores a model version on the golden set beside the serving one and the untrained base."""
    golden = load_golden(parts, job.corpus)
    serving = parts.model(golden.serving.model_id)
    asked = parts.model(job.params.get("model_version") or serving.model_id)
    named = {"model": asked, "serving": serving}
    if serving.parent is not None:
        named["base"] = parts.model(serving.parent)
    distinct = {model.model_id: model for model in named.values()}
    scores: dict[str, Scores] = {}
    for position, (identity, model) in enumerate(distinct.items()):
        share = (position / len(distinct), (position + 1) / len(distinct))
        stored = identity == serving.model_id
        scores[identity] = measure(golden, parts.encoders.get(model), lease, share, parts, stored=stored)
    result: dict[str, Any] = {
        name: {"model_version": model.model_id, "metrics": dict(scores[model.model_id].mean)}
        for name, model in named.items()
    }
    return End(JobState.SUCCEEDED, {**result, "queries": len(golden.queries), "passages": len(golden.passages)})


def load_golden(parts: Parts, name: str) -> Golden:
    """Raises TooLittleFeedback when the corpus has no golden query with a relevant document."""
    with parts.database.read() as connection:
        corpus = corpora.get(connection, name)
        if corpus.serving is None:
            raise NotReady(f"corpus {name!r} has no serving index version yet", field="corpus")
        serving = index_versions.get(connection, corpus.serving)
        judged = feedback.judgments_of(connection, name, (Split.GOLDEN,))
        relevant = {j.document_id for j in judged if j.grade > 0}
        pool = gate_pool(relevant, documents.live_ids(connection, name), corpus.policy.gate.pool_size, seed=13)
        found = documents.get_many(connection, name, pool)
    queries, qrels = _qrels(judged)
    if not queries:
        raise TooLittleFeedback(f"corpus {name!r} has no golden query with a relevant document", field="corpus")
    chunker = parts.chunker(serving, parts.model(serving.model_id))
    passages = [p for identity in sorted(found) for p in passages_of(found[identity], chunker)]
    return Golden(corpus, serving, queries, qrels, passages)


def measure(
    golden: Golden,
    encoder: Encoder,
    lease: Lease,
    share: tuple[float, float],
    parts: Parts,
    *,
    stored: bool = False,
) -> Scores:
    """Scores one model over the pool.

    Args:
        golden: Queries, judgments and pool.
        encoder: The model's.
        lease: Told the progress.
        share: The part of the stage's progress, from and to, that this measuring is.
        parts: For Milvus.
        stored: Take the vectors that the serving collection holds already, where it does.
    """
    known = _stored(parts, golden) if stored else {}
    todo = [p for p in golden.passages if p.passage_id not in known]
    for start in range(0, len(todo), PASSAGES_PER_STEP):
        part = todo[start : start + PASSAGES_PER_STEP]
        vectors = encoder.encode_passages([embedding_text(p.title, p.text) for p in part])
        known.update(zip((p.passage_id for p in part), vectors, strict=True))
        lease.progress(share[0] + (share[1] - share[0]) * start / len(todo))
    ranked = rank_by_cosine(
        encoder.encode_queries(golden.queries),
        np.stack([known[p.passage_id] for p in golden.passages]),
        [p.document_id for p in golden.passages],
        RANKED,
    )
    return score_run({query_key(q): row for q, row in zip(golden.queries, ranked, strict=True)}, golden.qrels)


def _stored(parts: Parts, golden: Golden) -> dict[str, Vectors]:
    return parts.index.vectors(golden.serving.collection, [p.passage_id for p in golden.passages])


def _qrels(judged: Sequence[Judgment]) -> tuple[list[str], dict[str, dict[str, int]]]:
    """Queries with at least one relevant document, and their grades; the greatest grade of a pair counts."""
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for judgment in judged:
        key = query_key(judgment.query)
        queries.setdefault(key, judgment.query)
        grades = qrels.setdefault(key, {})
        grades[judgment.document_id] = max(judgment.grade, grades.get(judgment.document_id, 0))
    kept = {key for key, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
    return [queries[k] for k in sorted(kept)], {k: qrels[k] for k in sorted(kept)}
