"""Stage `evaluate`: a model version on the golden set beside the serving one, its base, and BM25."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedloop.encoder import Vectors
from embedloop.jobs import End, Lease, Outcome
from embedloop.records.jobs import Job, JobState
from embedloop.records.labels import Split
from embedloop.records.versions import ModelVersion
from training.evaluation import METRICS, Scores, metrics_at, rank_by_cosine
from training.labelled import measure_labels
from training.rag import CONTEXT_PASSAGES, Question, measure_rag
from training.systems import compare_systems, slice_table
from workers.answering import answerer_of
from workers.judged import Judged, load_judged, passage_vectors, rank_by_words, score
from workers.parts import Parts
from workers.reranked import rank_as_served, second_encoder

DEFAULT_CUTOFFS = (1, 5, 10)
SLICED_BY = "ndcg@10"
_MODELS_SHARE = 0.7


@dataclass(frozen=True)
class _Asked:
    """What the job's params want."""

    cutoffs: tuple[int, ...]
    label_field: str | None
    questions: tuple[Question, ...]

    @classmethod
    def of(cls, params: Mapping[str, Any], slice_field: str | None) -> _Asked:
        return cls(
            tuple(params.get("k") or DEFAULT_CUTOFFS),
            params.get("label_field") or slice_field,
            tuple(Question(one["question"], tuple(one["answers"])) for one in params.get("questions") or ()),
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*METRICS, *metrics_at(self.cutoffs))))

    @property
    def depth(self) -> int:
        return max(10, *self.cutoffs)


@dataclass
class _Measured:
    """What was found of each system, by model version."""

    scores: dict[str, Scores] = field(default_factory=dict)
    labels: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    contexts: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def evaluate(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Scores the systems on the same golden queries over the same pool; tells slices, labels and RAG beside."""
    golden = load_judged(parts, job.corpus, (Split.GOLDEN,))
    policy = golden.corpus.policy.gate
    asked = _Asked.of(job.params, policy.slice_field)
    named = systems_of(parts, golden, job.params.get("model_version"))
    measured = _measure(parts, golden, asked, {model.model_id: model for model in named.values()}, lease)
    systems = {name: measured.scores[model.model_id] for name, model in named.items()}
    systems["bm25"] = score(golden, rank_by_words(golden, asked.depth), asked.metrics)
    lease.progress(_MODELS_SHARE + 0.1)
    table = compare_systems(systems, "model", policy.confidence)
    for name, model in named.items():
        table[name] |= {"model_version": model.model_id, "labels": measured.labels[model.model_id]}
    answers = _rag(parts, golden, asked, named, measured, lease)
    return End(
        JobState.SUCCEEDED,
        {
            **table,
            "queries": len(golden.queries),
            "passages": len(golden.passages),
            "slices": slice_table(systems, SLICED_BY, golden.slices(policy.slice_field)),
            "rag": answers,
        },
    )


def systems_of(parts: Parts, golden: Judged, model_version: str | None) -> dict[str, ModelVersion]:
    """The model asked for, the serving one, and the untrained base that the asked one goes back to."""
    serving = parts.model(golden.serving.model_id)
    model = parts.model(model_version or serving.model_id)
    return {"model": model, "serving": serving, "base": parts.root(model)}


def _measure(
    parts: Parts, golden: Judged, asked: _Asked, models: Mapping[str, ModelVersion], lease: Lease
) -> _Measured:
    measured = _Measured()
    labels = _labels(golden, asked.label_field)
    for position, (identity, model) in enumerate(models.items()):
        share = (_MODELS_SHARE * position / len(models), _MODELS_SHARE * (position + 1) / len(models))
        encoder = parts.encoders.get(model)
        stored = identity == golden.serving.model_id
        vectors = passage_vectors(parts, golden, encoder, lease, share, stored=stored)
        second = second_encoder(parts, model)
        answers = rank_as_served(golden, encoder, vectors, asked.depth, second, lease, (share[1], share[1]))
        measured.scores[identity] = score(golden, answers, asked.metrics)
        measured.labels[identity] = measure_labels(vectors, labels) if asked.label_field else None
        questions = [question.text for question in asked.questions]
        if questions:
            measured.contexts[identity] = _contexts(
                golden, questions, encoder.encode_queries(questions), vectors
            )
    return measured


def _labels(golden: Judged, label_field: str | None) -> list[str | None]:
    """One label per passage; a document with several, or with none, has none."""
    if label_field is None:
        return []
    topics = golden.topics(label_field)
    return [topics[one][0] if len(topics[one]) == 1 else None for one in golden.document_ids]


def _contexts(golden: Judged, questions: list[str], queries: Vectors, vectors: Vectors) -> dict[str, list[str]]:
    """Question -> its nearest passages, each by itself."""
    texts = {p.passage_id: f"{p.title}\n{p.text}".strip() for p in golden.passages}
    nearest = rank_by_cosine(queries, vectors, [p.passage_id for p in golden.passages], CONTEXT_PASSAGES)
    return {q: [texts[one] for one in row] for q, row in zip(questions, nearest, strict=True)}


def _rag(
    parts: Parts,
    golden: Judged,
    asked: _Asked,
    named: Mapping[str, ModelVersion],
    measured: _Measured,
    lease: Lease,
) -> dict[str, Any] | None:
    """The share of questions that each model's passages answer; None without questions."""
    if not asked.questions:
        return None
    with answerer_of(parts.settings) as answerer:
        found = {
            identity: measure_rag(asked.questions, contexts, answerer, lambda share: lease.check()).to_json()
            for identity, contexts in measured.contexts.items()
        }
    return {name: found[model.model_id] for name, model in named.items()}
