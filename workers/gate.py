"""Stage `gate`: the candidate beside the serving model, on the golden set over one pool of documents.

Where there are too few golden queries and the policy allows it, on structure that was held out."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from embedloop.catalog import index_versions, models
from embedloop.catalog.database import now
from embedloop.copying import passage_key
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.policy import GateSettings
from embedloop.records.documents import Corpus
from embedloop.records.gate import HELD_OUT, Evidence, Gate
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.records.labels import Split
from embedloop.records.versions import ModelVersion
from training.evaluation import Scores
from training.gate import GateDecision, General, decide
from training.general_score import SecondStage
from training.slices import Slices
from workers.gather import enough_golden
from workers.general import general_sets, measure_general
from workers.held_out import held_out_of
from workers.judged import Judged, cost_of, labels_of, load_judged, passage_vectors, score
from workers.ordered import corpus_of
from workers.parts import Parts
from workers.reranked import rank_as_served, second_encoder

RANKED = 10


@dataclass(frozen=True)
class _Compared:
    """Both models on the same queries, and on what kind of evidence."""

    serving: Scores
    candidate: Scores
    queries: Sequence[str]
    slices: Slices
    evidence: Evidence


def gate(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Decides whether the candidate may serve; the decision is kept whatever it is."""
    with parts.database.read() as connection:
        corpus = corpus_of(connection, job)
        judged = labels_of(connection, corpus.name, (Split.GOLDEN,))
        version = index_versions.get(connection, corpus.serving or "")
    candidate = parts.model(job.checkpoint["model_version"])
    serving = parts.model(version.model_id)
    policy = gate_of(job, corpus.policy.gate)
    if policy.without_labels == "held_out" and not enough_golden(judged, corpus.policy):
        compared = _on_structure(parts, corpus, job, serving, candidate, lease)
    else:
        compared = _on_golden(parts, job, serving, candidate, lease)
    decision = decide(
        policy,
        compared.serving,
        compared.candidate,
        _general(parts, corpus, candidate, lease),
        compared.slices,
        cost_of(parts, candidate, parts.encoders.get(candidate), compared.queries),
        evidence=compared.evidence,
    )
    verdict = keep_decision(parts, job, candidate, serving, decision)
    if not decision.passed:
        return End(JobState.REJECTED, {**job.checkpoint, "gate": verdict, "promoted": False})
    return Advance({"gate": verdict})


def gate_of(job: Job, settings: GateSettings) -> GateSettings:
    """What the candidate must prove: a compressed model is wanted for its speed, any other to be better."""
    return settings.losing_at_most(job.params["max_drop"]) if job.kind is JobKind.COMPRESS else settings


def _on_golden(
    parts: Parts, job: Job, serving: ModelVersion, candidate: ModelVersion, lease: Lease
) -> _Compared:
    golden = load_judged(parts, job.corpus, (Split.GOLDEN,))
    return _Compared(
        _measure(parts, golden, serving, lease, (0.0, 0.4)),
        _measure(parts, golden, candidate, lease, (0.4, 0.8)),
        golden.queries,
        golden.slices(golden.corpus.policy.gate.slice_field),
        "golden",
    )


def _on_structure(
    parts: Parts, corpus: Corpus, job: Job, serving: ModelVersion, candidate: ModelVersion, lease: Lease
) -> _Compared:
    held_out = held_out_of(parts, corpus, job, lease)

    def measured(model: ModelVersion, share: tuple[float, float]) -> Scores:
        second = _second_stage(parts, corpus, model)
        return held_out.measure(parts.encoders.get(model), lease, share, second)

    return _Compared(
        measured(serving, (0.0, 0.4)),
        measured(candidate, (0.4, 0.8)),
        held_out.queries,
        held_out.slices,
        HELD_OUT,
    )


def _measure(
    parts: Parts, golden: Judged, model: ModelVersion, lease: Lease, share: tuple[float, float]
) -> Scores:
    encoder = parts.encoders.get(model)
    stored = passage_key(model) == passage_key(parts.model(golden.serving.model_id))
    vectors = passage_vectors(parts, golden, encoder, lease, share, stored=stored)
    second = second_encoder(parts, model)
    return score(golden, rank_as_served(golden, encoder, vectors, RANKED, second, lease, (share[1], share[1])))


def _general(parts: Parts, corpus: Corpus, candidate: ModelVersion, lease: Lease) -> General | None:
    """The candidate beside the untrained base that it was made of, outside the corpus."""
    sets = general_sets(parts, corpus)
    if not sets:
        return None
    base_scores = measure_general(sets, parts.encoders.get(parts.root(candidate)))
    lease.progress(0.9)
    second = _second_stage(parts, corpus, candidate)
    return General(base_scores, measure_general(sets, parts.encoders.get(candidate), second))


def _second_stage(parts: Parts, corpus: Corpus, model: ModelVersion) -> SecondStage | None:
    encoder = second_encoder(parts, model)
    if encoder is None:
        return None
    return SecondStage(encoder.encode_queries, encoder.encode_passages, corpus.policy.reranking.depth)


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
