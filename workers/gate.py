"""Stage `gate`: the candidate beside the serving model, on the golden set over one pool of documents."""

from __future__ import annotations

import uuid

from embedloop.catalog import models
from embedloop.catalog.database import now
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.records import Corpus, Gate, Job, JobState, ModelVersion, Split
from training.evaluation import Scores
from training.gate import GateDecision, General, decide
from workers.general import general_sets, measure_general
from workers.judged import Judged, cost_of, load_judged, passage_vectors, rank, score
from workers.parts import Parts

RANKED = 10


def gate(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Decides whether the candidate may serve; the decision is kept whatever it is."""
    golden = load_judged(parts, job.corpus, (Split.GOLDEN,))
    candidate = parts.model(job.checkpoint["model_version"])
    serving = parts.model(golden.serving.model_id)
    serving_scores = _measure(parts, golden, serving, lease, (0.0, 0.4))
    candidate_scores = _measure(parts, golden, candidate, lease, (0.4, 0.8))
    policy = golden.corpus.policy.gate
    decision = decide(
        policy,
        serving_scores,
        candidate_scores,
        _general(parts, golden.corpus, candidate, lease),
        golden.slices(policy.slice_field),
        cost_of(parts, candidate, parts.encoders.get(candidate), golden.queries),
    )
    verdict = keep_decision(parts, job, candidate, serving, decision)
    if not decision.passed:
        return End(JobState.REJECTED, {**job.checkpoint, "gate": verdict, "promoted": False})
    return Advance({"gate": verdict})


def _measure(
    parts: Parts, golden: Judged, model: ModelVersion, lease: Lease, share: tuple[float, float]
) -> Scores:
    encoder = parts.encoders.get(model)
    stored = model.model_id == golden.serving.model_id
    vectors = passage_vectors(parts, golden, encoder, lease, share, stored=stored)
    return score(golden, rank(golden, encoder, vectors, RANKED))


def _general(parts: Parts, corpus: Corpus, candidate: ModelVersion, lease: Lease) -> General | None:
    """The candidate beside the untrained base that it was made of, outside the corpus."""
    sets = general_sets(parts, corpus)
    if not sets:
        return None
    base = parts.model(candidate.parent) if candidate.parent else candidate
    base_scores = measure_general(sets, parts.encoders.get(base))
    lease.progress(0.9)
    return General(base_scores, measure_general(sets, parts.encoders.get(candidate)))


def keep_decision(
    parts: Parts, job: Job, candidate: ModelVersion, serving: ModelVersion, decision: GateDecision
) -> dict[str, object]:
    """Keeps a decision for ever, and with the candidate; returns it as jobs tell it."""
    verdict: dict[str, object] = {
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
                serving=serving.model_id,
                passed=decision.passed,
                reasons=list(decision.reasons),
                metrics=dict(decision.metrics),
                created_at=now(),
            ),
        )
        models.set_metrics(connection, candidate.model_id, {**candidate.metrics, "gate": verdict})
    return verdict
